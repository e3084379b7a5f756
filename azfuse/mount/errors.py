"""What can keep a mount from being made, split by whose turn it is.

    UsageError  (ValueError)    the words are wrong: the person corrects them
    MountError                  the words are right, but it cannot be done now

The text of either is one sentence, written to be the only line a person sees.
"""


class UsageError(ValueError):
    """A source, option or credential that cannot be what was meant."""


class MountError(Exception):
    """A mount that could not be made, or did not end well."""

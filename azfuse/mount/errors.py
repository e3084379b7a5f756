"""What can keep a mount from being made, split by whose turn it is.

    UsageError  (ValueError)    the words are wrong: the person corrects them
      PlaceError                or a directory is not as they say: missing, mounted already ...
    MountError                  the words are right, but it cannot be done now
      RefusedError              and not later either: the service does not take the credentials

The text of either is one sentence, written to be the only line a person sees.
"""


class UsageError(ValueError):
    """A source, option or credential that cannot be what was meant."""


class PlaceError(UsageError):
    """A directory that cannot be what it was named for, as a mount point or a mount."""


class MountError(Exception):
    """A mount that could not be made, or did not end well."""


class RefusedError(MountError):
    """A mount that can only be made once somebody has changed credentials or rights.

    A service manager need not try again (exit status 3).
    """

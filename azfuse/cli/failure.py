"""What ends a command with exit code 1."""


class CommandError(Exception):
    """The words were right, and it could not be done: its text is the one sentence shown."""

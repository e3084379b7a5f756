"""What mount(8) and umount(8) want of their helpers: words, flags and exit statuses."""

import getopt
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from azfuse import __version__
from azfuse.mount.errors import MountError, PlaceError, UsageError

# The exit statuses of mount(8).
_USAGE: Final = 1
_FAILURE: Final = 32

#: Does the work: flags (`-v`, ...), the texts of every `-o`, and the other words.
#: Raises UsageError and MountError.
Work = Callable[[Collection[str], list[str], list[str]], None]


@dataclass(frozen=True, slots=True)
class Helper:
    """One helper: its *letters* are those of getopt(3), *places* how many words it takes."""

    name: str
    synopsis: str
    letters: str
    places: int
    work: Work
    #: What `-o help` shows, where there is such a thing.
    option_help: Callable[[], str] | None = None

    def run(self, arguments: Sequence[str] | None) -> int:
        """Work with *arguments* (those of the process if None) and return the exit status."""
        try:
            self._run(sys.argv[1:] if arguments is None else arguments)
        except PlaceError as error:
            return self._complain(error, _FAILURE)
        except (getopt.GetoptError, UsageError) as error:
            return self._complain(error, _USAGE)
        except MountError as error:
            return self._complain(error, _FAILURE)
        except KeyboardInterrupt:
            return self._complain("interrupted", _FAILURE)
        return 0

    def _run(self, arguments: Sequence[str]) -> None:
        letters = f"{self.letters}vVhN:t:o:"
        found, words = getopt.gnu_getopt(list(arguments), letters, ["help", "version"])
        flags = {name for name, _ in found}
        if flags & {"-V", "--version"}:
            print(f"{self.name} {__version__}")  # noqa: T201 # what it is asked for
            return
        if flags & {"-h", "--help"}:
            print(f"usage: {self.synopsis}")  # noqa: T201 # what it is asked for
            return
        if "-N" in flags:
            raise UsageError("azfuse works in the caller's namespace only: -N cannot be used")
        texts = [value for name, value in found if name == "-o"]
        if self.option_help is not None and "help" in texts:
            print(self.option_help())  # noqa: T201 # what it is asked for
            return
        if len(words) != self.places:
            raise UsageError(f"usage: {self.synopsis}")
        self.work(flags, texts, words)

    def say(self, what: object) -> None:
        """Print what -v asks for."""
        print(f"{self.name}: {what}")  # noqa: T201 # a line of -v

    def _complain(self, what: object, status: int) -> int:
        print(f"{self.name}: {what}", file=sys.stderr)  # noqa: T201 # the one line of a failure
        return status

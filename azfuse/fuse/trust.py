"""What may be believed of an inode, and for how long: times, leases, probes.

What is believed here the kernel is told for just as long, so that it asks when we would.
"""

from collections.abc import Callable

from azfuse.fuse.dialect import Dialect
from azfuse.fuse.inodes import Inode
from azfuse.fuse.settings import FileSystemSettings


class Trust:
    """Says how long what is known of inodes may be used without asking the share."""

    def __init__(
        self, settings: FileSystemSettings, dialect: Dialect, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self.dialect = dialect
        self._clock = clock

    def attributes_for(self, inode: Inode) -> float:
        """Return for how many more seconds the kernel may use the attributes of *inode*."""
        settings = self._settings
        belief = settings.directories if inode.is_directory else settings.files
        facts = inode.facts
        if facts is None or inode.gone or inode.lease_id is not None:
            return belief.least
        if inode.doubted or self.needs_probe(inode) or is_volatile(inode):
            return 0.0
        return max(0.0, belief.seconds(facts.unchanged) - self._age(inode))

    def name_for(self, inode: Inode) -> float:
        """Return for how many more seconds the kernel may take the name to lead to *inode*."""
        if inode.facts is None or inode.lease_id is not None:
            return self._settings.directories.least
        if inode.other_names:
            return 0.0  # what is said of a file vouches for none of its names in particular
        if not self.attributes_for(inode):
            return 0.0  # the question for the name brings the attributes too
        least = self._settings.directories.seconds(inode.facts.unchanged)
        return max(0.0, least - self._age(inode))

    def doubts(self, inode: Inode) -> bool:
        """Say whether the share must be asked before the attributes of *inode* are used.

        Not while we hold its lease: nobody else can change it.
        """
        if inode.facts is None or inode.gone or inode.lease_id is not None:
            return False
        return self.attributes_for(inode) <= 0

    def doubts_name(self, inode: Inode) -> bool:
        """Say whether the share must be asked before the name is taken to lead to *inode*."""
        if inode.facts is None or inode.lease_id is not None:
            return False
        return self.name_for(inode) <= 0

    def needs_probe(self, inode: Inode) -> bool:
        """Say whether a listing does not tell all of *inode*."""
        if inode.facts is None:
            return False
        return self.may_be_symlink(inode) or self.dialect.posix.needs_metadata(inode.facts)

    def may_be_symlink(self, inode: Inode) -> bool:
        """Say whether *inode* has the size of a symbolic link and was not looked into yet."""
        facts = inode.facts
        return (
            facts is not None
            and self.dialect.may_be_symlink(facts)
            and inode.link_etag != facts.etag
        )

    def _age(self, inode: Inode) -> float:
        asked = inode.facts.asked if inode.facts is not None else 0.0
        return self._clock() - max(asked, inode.changed_at)


def is_volatile(inode: Inode) -> bool:
    """Say whether somebody else holds the file's lease: it may change at any moment."""
    facts = inode.facts
    return facts is not None and facts.lease_state == "leased" and inode.lease_id is None

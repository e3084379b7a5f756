"""Taking up what mounts before this one kept in the journal, as if it had just been written.

The files become dirty again and go up like all others. Whatever cannot go back to
its place, because the directory is gone or something else has the name, becomes a
file of its own beside it: nothing is overwritten that the earlier mount did not
know, and nothing is lost.
"""

import logging
from collections.abc import Awaitable, Callable

from azfuse.cache.journal import Journal, Record
from azfuse.cache.writeback import CachedFile, WriteBack
from azfuse.fuse.inodes import Inode, path_of
from azfuse.fuse.notes import Note
from azfuse.fuse.remote_file import InodeFile
from azfuse.fuse.tree import Tree
from azfuse.rest.errors import AzureFilesError
from azfuse.rest.wire import MAX_COMPONENT

log = logging.getLogger(__name__)

#: Put behind the name of a file that could not go back to its place.
RECOVERED = ".azfuse-recovered"


#: Makes a directory: its parent, name, mode, uid and gid.
MakeDirectory = Callable[[Inode, str, int, int, int], Awaitable[Inode]]


class Restorer:
    """Brings records of the journal back into the tree and among the dirty files."""

    def __init__(
        self,
        tree: Tree,
        journal: Journal,
        writeback: WriteBack,
        new_file: Callable[[Inode], CachedFile],
        make_directory: MakeDirectory,
    ) -> None:
        self._tree = tree
        self._journal = journal
        self._writeback = writeback
        self._new_file = new_file
        self._make_directory = make_directory

    async def restore(self, alive: Callable[[str], bool]) -> None:
        """Take up the records of mounts that are not *alive* any more.

        What cannot be taken up now stays in the journal for the next mount.
        """
        try:
            records = await self._journal.left_behind(alive)
        except OSError as error:
            log.warning("data of an earlier mount waits, but %s", error.strerror)
            return
        for record in records:
            try:
                await self._take_up(record)
            except (AzureFilesError, OSError, ValueError) as error:
                log.warning("data of an earlier mount stays in the journal: %s", error)

    async def _take_up(self, record: Record) -> None:
        note = Note.read(record.note)
        root = self._tree.root.path
        if root and not note.path.startswith(root + "/"):
            return  # a mount of another directory of the share will see it
        *directories, name = note.path.removeprefix(root).strip("/").split("/")
        parent = await self._directory(directories, note)
        found = await self._tree.lookup(parent, name) if parent is not None else None
        runs = await self._journal.take_over(record.id)
        in_place = found is not None and _is_noted(found, note)
        missing = found is None and note.file_id == 0  # the share never had it
        if note.leaving and parent is not None and not in_place and not missing:
            log.info("%s was being removed, and is", note.path)
            self._journal.forget(record.id)
            return
        if in_place and found is not None and note.file_id:
            inode = found
        else:
            inode = await self._make(note, parent, name, found)
        if inode.file is None:
            inode.file = self._new_file(inode)
        if isinstance(inode.file.remote, InodeFile):
            inode.file.remote.born = note.born
        merges = inode.file.record is not None
        note.apply(inode)
        inode.file.content.restore(record.size, record.remote_end, runs, cut=record.cut)
        self._writeback.restored(inode.file, None if merges else record)
        if merges:  # two mounts had written to it: one record will do
            await self._writeback.keep(inode.file)
            self._journal.forget(record.id)
        elif inode.path != note.path or inode.is_local != (note.file_id == 0):
            await self._writeback.keep(inode.file)
        log.info("%s: %d bytes of an earlier mount will be uploaded", inode.path,
                 inode.file.content.dirty_bytes)  # fmt: skip

    async def _directory(self, names: list[str], note: Note) -> Inode | None:
        """Return the directory at *names* below the root, None where there is none.

        Those that the earlier mount had not made yet are made.
        """
        directory = self._tree.root
        for position, name in enumerate(names, len(note.directories) - len(names)):
            found = await self._tree.lookup(directory, name)
            if found is None and position >= 0:
                mode, uid, gid = note.directories[position]
                found = await self._make_directory(directory, name, mode, uid, gid)
            if found is None or not found.is_directory:
                return None
            directory = found
        return directory

    async def _make(
        self, note: Note, parent: Inode | None, name: str, found: Inode | None
    ) -> Inode:
        """Make the inode of a file that is to be created, in its place or beside it."""
        tree = self._tree
        if found is not None and not note.file_id and _is_noted(found, note):
            # The earlier mount had begun: what it created is replaced by the whole.
            tree.vanish(found)
            tree.table.drop(found)
        elif found is not None or note.file_id or parent is None:
            parent = parent or tree.root
            name = await self._free_name(parent, name)
            log.warning(
                "%s is gone or was replaced since an earlier mount wrote to it: "
                "what it wrote is saved as %s",
                note.path,
                path_of((parent, name)),
            )
        number = note.number if note.number not in tree.table else tree.table.new_local_number()
        inode = Inode(number, parent, name, note.posix, None)
        inode.atime = note.mtime
        inode.fresh = True
        inode.xattrs = dict(note.xattrs)
        tree.table.add(inode)
        tree.attach(inode, parent or tree.root, name)
        return inode

    async def _free_name(self, parent: Inode, name: str) -> str:
        stem, count = name[: MAX_COMPONENT - len(RECOVERED) - 8], 1
        while True:
            free = f"{stem}{RECOVERED}" if count == 1 else f"{stem}{RECOVERED}-{count}"
            if await self._tree.lookup(parent, free) is None:
                return free
            count += 1


def _is_noted(found: Inode, note: Note) -> bool:
    """Say whether *found* is the noted file, or what its mount had created before it ended."""
    if note.file_id:
        return found.file_id == note.file_id
    facts = found.facts
    return (
        facts is not None
        and not facts.is_directory
        and facts.creation_time // 100 == note.born // 100
    )

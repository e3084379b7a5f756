"""What is known of entries of NFS shares: names, modes, types, and what is to be sent."""

import errno
import stat
from pathlib import Path

import pytest

from azfuse.cache.metadata import Facts
from azfuse.fuse.nfs import NfsDialect
from azfuse.fuse.posix import Posix
from azfuse.fuse.settings import FileSystemSettings
from azfuse.rest.models import NfsProperties, NfsSettings, SmbSettings, Written
from azfuse.rest.wire import FileAttributes

REGULAR = NfsProperties(0o4750, 12, 34, "Regular", 2)


def dialect(posix="metadata"):
    return NfsDialect(FileSystemSettings(state_dir=Path(), uid=1, gid=2, posix=posix))


def facts(nfs=None, etag='"0x8DD000000000001"'):
    return Facts(
        "f", False, 7, 3, etag, 0, 0, 0, FileAttributes.NONE, None, {}, 1.0, nfs=nfs
    )  # fmt: skip


@pytest.mark.parametrize("name", ["a:b", "CON", "back\\slash", "dot.", "blank ", "\x01", "\uf020"])
def test_names_travel_as_they_are(name):
    nfs = dialect()
    assert nfs.to_share(name.encode()) == nfs.key(name) == name
    assert nfs.to_linux(name) == name.encode()


def test_names_that_cannot_travel():
    for name, code in ((b"\xff", errno.EILSEQ), (b"x" * 256, errno.ENAMETOOLONG)):
        with pytest.raises(OSError) as refusal:
            dialect().to_share(name)
        assert refusal.value.errno == code
    assert dialect().to_share(b"x" * 255)


def test_mode_owner_and_type():
    posix = dialect().posix
    assert posix.needs_metadata(facts())
    assert not posix.needs_metadata(facts(REGULAR))
    assert posix.of(facts(REGULAR)) == Posix(stat.S_IFREG | 0o4750, 12, 34)
    link = posix.of(facts(NfsProperties(0o644, 12, 34, "SymLink", 1)))
    assert link == Posix(stat.S_IFLNK | 0o777, 12, 34)
    fixed = dialect("off").posix
    assert fixed.of(facts(REGULAR)) == Posix(stat.S_IFREG | 0o644, 1, 2)
    assert stat.S_ISLNK(fixed.of(facts(NfsProperties(0o777, 0, 0, "SymLink"))).mode)


def test_what_is_sent():
    nfs = dialect()
    posix = Posix(stat.S_IFREG | 0o640, 5, 6)
    smb = SmbSettings(attributes=FileAttributes.ARCHIVE, last_write_time=100)
    assert nfs.settings(posix, smb) == (SmbSettings(last_write_time=100), NfsSettings(0o640, 5, 6))
    link = Posix(stat.S_IFLNK | 0o777, 5, 6)
    assert nfs.settings(link, SmbSettings())[1] == NfsSettings(None, 5, 6)
    assert nfs.differs(posix, facts(REGULAR))
    assert not nfs.differs(Posix(stat.S_IFREG | 0o4750, 12, 34), facts(REGULAR))
    assert not nfs.differs(link, facts(NfsProperties(0o644, 5, 6, "SymLink")))


def test_facts_keep_what_an_answer_does_not_tell():
    known = facts(REGULAR)
    same = facts()
    same.confirms(known)
    assert same.nfs == REGULAR
    written = Written('"0x8DD000000000002"', 0)
    assert known.after(written, 2.0).nfs == REGULAR
    written = Written('"0x8DD000000000002"', 0, nfs=NfsProperties(link_count=3))
    assert known.after(written, 2.0).nfs == NfsProperties(0o4750, 12, 34, "Regular", 3)
    # Part of an answer is not the whole.
    assert facts().after(written, 2.0).nfs is None

"""Modes, owners, times, numbers, extended attributes, space: here, and after a new mount."""

import errno
import os
import stat

import pytest
from azure.storage.fileshare import ContentSettings

from tests.mount.harness import errno_of, let_others_in, run

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as other users")


def facts(path):
    """Return what must be the same after a new mount."""
    status = os.lstat(path)
    return (
        oct(status.st_mode), status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns,
        status.st_ino, status.st_rdev, status.st_nlink,
    )  # fmt: skip


@as_root
def test_everything_is_kept_over_a_new_mount(mount):
    with mount() as first:
        root = first.path
        (root / "dir").mkdir(mode=0o750)
        for mode in (0o600, 0o640, 0o755, 0o444, 0o000, 0o4755, 0o666):
            path = root / f"dir/mode{mode:o}"
            path.write_bytes(b"x" * mode)
            path.chmod(mode)
        (root / "owned").write_bytes(b"x")
        os.chown(root / "owned", 1234, 5678)
        os.chown(root / "dir", -1, 77)
        os.symlink("owned", root / "link")
        os.chown(root / "link", 5, 6, follow_symlinks=False)
        os.mkfifo(root / "fifo", 0o620)
        os.mknod(root / "device", 0o660 | stat.S_IFBLK, os.makedev(8, 1))
        os.utime(root / "owned", ns=(1, 1_600_000_000_123_456_700))
        os.utime(root / "dir", ns=(1, 1_500_000_000_000_000_000))
        names = ["dir", "owned", "link", "fifo", "device"]
        names += [f"dir/{name}" for name in os.listdir(root / "dir")]
        before = {name: facts(root / name) for name in names}
        os.setxattr(root / "owned", "user.note", b"kept")
    with mount() as second:
        assert {name: facts(second.path / name) for name in names} == before
        assert os.readlink(second.path / "link") == "owned"
        assert os.getxattr(second.path / "owned", "user.note") == b"kept"
        assert before["owned"][4] == 1_600_000_000_123_456_700
    # Found by name alone, without a listing before.
    with mount() as third:
        assert facts(third.path / "dir/mode4755") == before["dir/mode4755"]


def test_numbers_of_new_files_do_not_change(mount):
    with mount("actimeo=0") as first:
        with (first.path / "new").open("wb") as file:
            number = os.fstat(file.fileno()).st_ino
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
            assert os.fstat(file.fileno()).st_ino == number
        assert (first.path / "new").stat().st_ino == number
        os.rename(first.path / "new", first.path / "renamed")
        assert (first.path / "renamed").stat().st_ino == number
        with os.scandir(first.path) as entries:
            assert {entry.name: entry.inode() for entry in entries} == {"renamed": number}
    with mount() as second:
        assert (second.path / "renamed").stat().st_ino == number


def test_chmod_back_to_the_default(mount):
    with mount() as m:
        path = m.path / "file"
        path.write_bytes(b"x")
        default = path.stat().st_mode
        for mode in (0o600, 0o400, 0o777, stat.S_IMODE(default)):
            path.chmod(mode)
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert path.read_bytes() == b"x"


def test_a_read_only_file_can_be_written_by_who_has_it_open(mount):
    with mount() as m:
        check_read_only_files(m.path)


def check_read_only_files(here):
    descriptor = os.open(here / "file", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o400)
    try:
        os.write(descriptor, b"content")
        os.fsync(descriptor)
        os.write(descriptor, b" more")
    finally:
        os.close(descriptor)
    assert (here / "file").read_bytes() == b"content more"
    assert stat.S_IMODE((here / "file").stat().st_mode) == 0o400
    os.rename(here / "file", here / "moved")
    (here / "other").write_bytes(b"other")
    os.replace(here / "other", here / "moved")
    (here / "moved").chmod(0o444)
    os.unlink(here / "moved")
    assert os.listdir(here) == []


@as_root
def test_access_is_checked(common, here):
    here.chmod(0o755)
    (here / "secret").write_bytes(b"x")
    (here / "secret").chmod(0o600)
    (here / "public").write_bytes(b"x")
    (here / "public").chmod(0o644)
    assert run(["cat", here / "public"], user=NOBODY).stdout == "x"
    assert "denied" in run(["cat", here / "secret"], user=NOBODY, check=False).stderr
    assert "denied" in run(["touch", here / "new"], user=NOBODY, check=False).stderr
    assert "denied" in run(["rm", "-f", here / "public"], user=NOBODY, check=False).stderr
    script = 'for how in r w x; do test -$how "$0" && echo $how; done; true'
    assert run(["sh", "-c", script, here / "public"], user=NOBODY).stdout == "r\n"
    here.chmod(0o777)
    run(["touch", here / "theirs"], user=NOBODY)
    assert (here / "theirs").stat().st_uid == NOBODY
    assert "permitted" in run(["chown", "0", here / "theirs"], user=NOBODY, check=False).stderr
    assert "permitted" in run(["chmod", "600", here / "public"], user=NOBODY, check=False).stderr


@as_root
def test_forced_owners(mount, share):
    with mount("") as m:
        (m.path / "theirs").write_bytes(b"x")
        os.chown(m.path / "theirs", 55, 66)
    with mount("forceuid,uid=12") as m:
        status = (m.path / "theirs").stat()
        assert (status.st_uid, status.st_gid) == (12, 66)
        assert errno_of(os.chown, m.path / "theirs", 55, -1) == errno.EPERM
        os.chown(m.path / "theirs", 12, 67)
        (m.path / "new").write_bytes(b"x")
        assert (m.path / "new").stat().st_uid == 12
    # What is the mount's owner anyway is not noted.
    assert not share.properties("new").metadata


@as_root
def test_permissions_that_are_not_checked(mount):
    with mount("noperm,allow_other") as m:
        let_others_in(m.path.parent)
        (m.path / "secret").write_bytes(b"x")
        (m.path / "secret").chmod(0o600)
        assert run(["cat", m.path / "secret"], user=NOBODY).stdout == "x"


@as_root
def test_modes_without_a_place_to_keep_them(mount):
    with mount("posix=off,uid=12,gid=34,file_mode=0640,dir_mode=0750") as m:
        (m.path / "file").write_bytes(b"x")
        (m.path / "dir").mkdir()
        status = (m.path / "file").stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, 12, 34)
        assert stat.S_IMODE((m.path / "dir").stat().st_mode) == 0o750
        assert errno_of(os.chmod, m.path / "file", 0o600) == errno.EPERM
        assert errno_of(os.chown, m.path / "file", 1, 1) == errno.EPERM
        os.chmod(m.path / "file", 0o640)
        os.chown(m.path / "file", 12, 34)


def test_what_is_known_of_a_file_can_be_read_as_attributes(mount, share, tmp_path):
    def known(path, name):
        return os.getxattr(path, f"azfuse.{name}").decode()

    share.write("file", b"content")
    share.sdk.create_directory("dir")
    with mount("actimeo=0,dirty-expire=100") as m:
        path = m.path / "file"
        properties = share.properties("file")
        assert known(path, "etag") == properties.etag.strip('"')
        assert known(path, "file_id") == properties.file_id
        assert known(m.path / "dir", "file_id").isdecimal()
        assert known(path, "url") == f"{share.source}/file"
        assert known(path, "lease") == "none"
        assert known(path, "cache") == "cachedBytes=0 dirtyBytes=0 onShare=yes"
        assert path.read_bytes() == b"content"
        assert known(path, "cache") == "cachedBytes=7 dirtyBytes=0 onShare=yes"
        assert errno_of(known, path, "content_md5") == errno.ENODATA
        settings = ContentSettings(content_md5=bytearray(range(16)))
        share.sdk.get_file_client("file").set_http_headers(settings)
        assert known(path, "content_md5") == bytes(range(16)).hex()
        lease = share.sdk.get_file_client("file").acquire_lease()
        assert known(path, "lease") == "foreign (leased)"
        lease.release()
        with (m.path / "new").open("wb", buffering=0) as file:
            file.write(b"x" * 100)
            assert known(m.path / "new", "cache") == "cachedBytes=100 dirtyBytes=100 onShare=no"
            for name in ("etag", "file_id", "lease", "content_md5", "url"):
                assert errno_of(known, m.path / "new", name) == errno.ENODATA, name
        assert known(m.path / "new", "etag") == share.properties("new").etag.strip('"')
        for name in ("lease", "cache", "content_md5", "nonsense"):
            assert errno_of(known, m.path / "dir", name) == errno.ENODATA, name
        # Nobody copies them, nobody changes them.
        assert os.listxattr(path) == []
        assert errno_of(os.setxattr, path, "azfuse.etag", b"x") == errno.EPERM
        assert errno_of(os.removexattr, path, "azfuse.etag") == errno.EPERM
        os.setxattr(path, "user.note", b"kept")
        for copy in ("cp -a {} {}/a", "rsync -aX {} {}/b"):
            run(copy.format(path, tmp_path).split())
        assert [os.listxattr(tmp_path / name) for name in "ab"] == [["user.note"]] * 2
    with mount("lease=always") as m, (m.path / "file").open("r+b", buffering=0) as file:
        file.write(b"x")
        os.fsync(file.fileno())
        assert known(m.path / "file", "lease") == "ours"


def test_extended_attributes(common, here):
    path = here / "file"
    path.write_bytes(b"x")
    assert os.listxattr(path) == []
    os.setxattr(path, "user.comment", b"plain text")
    os.setxattr(path, "user.Mixed.Case", b"\0\xff binary")
    os.setxattr(path, "user.empty", b"")
    assert sorted(os.listxattr(path)) == ["user.Mixed.Case", "user.comment", "user.empty"]
    assert os.getxattr(path, "user.comment") == b"plain text"
    assert os.getxattr(path, "user.Mixed.Case") == b"\0\xff binary"
    assert os.getxattr(path, "user.empty") == b""
    assert common[1].properties(f"{here.name}/file").metadata["comment"] == "plain text"
    assert errno_of(os.getxattr, path, "user.missing") == errno.ENODATA
    assert errno_of(os.removexattr, path, "user.missing") == errno.ENODATA
    assert errno_of(os.setxattr, path, "user.new", b"", os.XATTR_REPLACE) == errno.ENODATA
    assert errno_of(os.setxattr, path, "user.empty", b"", os.XATTR_CREATE) == errno.EEXIST
    assert errno_of(os.setxattr, path, "user.large", b"x" * 9000) == errno.ENOSPC
    assert errno_of(os.setxattr, path, "trusted.x", b"x") == errno.ENOTSUP
    for name in ("security.selinux", "system.posix_acl_access", "trusted.x"):
        assert errno_of(os.getxattr, path, name) == errno.ENOTSUP
    assert errno_of(os.setxattr, path, "user.huge", b"x" * (64 * 1024 + 1)) == errno.E2BIG
    assert errno_of(os.setxattr, path, "user." + "n" * 251, b"x") == errno.ERANGE
    os.removexattr(path, "user.comment")
    assert sorted(os.listxattr(path)) == ["user.Mixed.Case", "user.empty"]
    # They live beside the mode, and neither disturbs the other.
    path.chmod(0o700)
    assert os.getxattr(path, "user.Mixed.Case") == b"\0\xff binary"
    os.setxattr(path, "user.more", b"more")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert not any("azfuse" in name for name in os.listxattr(path))
    (here / "dir").mkdir()
    os.setxattr(here / "dir", "user.on.directory", b"yes")
    assert os.getxattr(here / "dir", "user.on.directory") == b"yes"


def test_extended_attributes_of_a_file_that_is_being_written(here):
    with (here / "file").open("wb", buffering=0) as file:
        file.write(b"before")
        os.setxattr(file.fileno(), "user.while", b"open")
        file.write(b" after")
        assert os.getxattr(file.fileno(), "user.while") == b"open"
    assert (here / "file").read_bytes() == b"before after"
    assert os.getxattr(here / "file", "user.while") == b"open"


def test_metadata_of_others_is_seen_and_kept(share, mount):
    with mount("actimeo=0") as m:
        (m.path / "file").write_bytes(b"x")
        client = share.sdk.get_file_client("file")
        client.set_file_metadata({"Author": "somebody"})
        assert os.getxattr(m.path / "file", "user.author") == b"somebody"
        (m.path / "file").chmod(0o600)
        os.setxattr(m.path / "file", "user.author", b"somebody else")
        os.setxattr(m.path / "file", "user.more", b"x")
    metadata = {k.lower(): v for k, v in client.get_file_properties().metadata.items()}
    assert {k: v for k, v in metadata.items() if not k.startswith("azfuse_")} == {
        "author": "somebody else",
        "more": "x",
    }


def test_statfs(common, here):
    figures = os.statvfs(here)
    assert figures.f_frsize * figures.f_blocks == 100 * 1024**3
    assert 0 < figures.f_bfree <= figures.f_blocks
    assert figures.f_namemax == 255


def test_a_read_only_mount(share, mount):
    share.write("file", b"content")
    with mount("ro") as m:
        assert (m.path / "file").read_bytes() == b"content"
        assert errno_of((m.path / "file").write_bytes, b"x") == errno.EROFS
        assert errno_of(os.mkdir, m.path / "dir") == errno.EROFS
        assert errno_of(os.unlink, m.path / "file") == errno.EROFS
        assert errno_of(os.utime, m.path / "file") == errno.EROFS


def test_a_directory_of_the_share_as_root(share, mount):
    with mount() as m:
        (m.path / "a/b").mkdir(parents=True)
        (m.path / "a/b/file").write_bytes(b"x")
    with mount(source=share.source + "/a/b") as m:
        assert os.listdir(m.path) == ["file"]
        with (m.path / "file").open("r+b") as file:
            os.unlink(m.path / "file")
            file.write(b"y")
        (m.path / "new").mkdir()
    assert share.names("a/b") == {"new"}


def test_times_that_the_share_cannot_keep_become_the_nearest(here):
    path = here / "file"
    path.touch()
    for asked, kept in ((2**40, 9223372036), (-(2**40), -9223372036), (-5, -5)):
        os.utime(path, (0, asked))
        assert int(path.stat().st_mtime) == kept

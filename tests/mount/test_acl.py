"""`-o posix=acl`: modes and owners in security descriptors, one for each combination."""

import errno
import os
import stat
import sys
from collections import Counter

import pytest

from azfuse.fuse.sddl import Descriptor
from tests.mount.harness import Share, errno_of, run
from tests.mount.test_attributes import as_root, check_read_only_files, facts

QUIET = "posix=acl,dirty-expire=600"
WINDOWS = "O:BAG:SYD:PAI(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;S-1-5-21-1-2-3-1001)"


@pytest.fixture
def described(share):
    """Return the descriptor of a file or directory as the share has it."""

    def describe(path):
        key = share.properties(path).permission_key
        return Descriptor.parse(share.sdk.get_permission_for_share(key))

    return describe


@as_root
def test_everything_is_kept_over_a_new_mount(mount, described):
    with mount("posix=acl") as first:
        root = first.path
        (root / "dir").mkdir(mode=0o750)
        os.chown(root / "dir", -1, 77)
        for mode in (0o600, 0o755, 0o444, 0o000, 0o4755, 0o666):
            path = root / f"dir/mode{mode:o}"
            path.write_bytes(b"x" * mode)
            path.chmod(mode)
        (root / "owned").write_bytes(b"x")
        os.chown(root / "owned", 1234, 4_000_000_000)
        os.symlink("owned", root / "link")
        os.chown(root / "link", 5, 6, follow_symlinks=False)
        os.mkfifo(root / "fifo", 0o620)
        os.mknod(root / "device", 0o660 | stat.S_IFBLK, os.makedev(8, 1))
        os.chown(root / "device", 7, 8)
        os.setxattr(root / "owned", "user.note", b"kept")
        root.chmod(0o1777)
        os.utime(root / "dir", ns=(1, 1_500_000_000_000_000_000))
        names = ["dir", "owned", "link", "fifo", "device"]
        names += [f"dir/{name}" for name in os.listdir(root / "dir")]
        before = {name: facts(root / name) for name in names}
    assert described("owned").says(0o644, 1234, 4_000_000_000)
    assert described("dir/mode4755").says(0o4755, 0, 0)
    # Beside ours there are the entries that the service would have given.
    assert {entry.sid for entry in described("owned").entries} >= {"BA", "SY", "AU"}
    # Whatever other defaults a mount has.
    with mount("posix=acl,uid=9,gid=9,umask=077") as second:
        assert {name: facts(second.path / name) for name in names} == before
        assert stat.S_IMODE(second.path.stat().st_mode) == 0o1777
        assert os.readlink(second.path / "link") == "owned"
        assert os.getxattr(second.path / "owned", "user.note") == b"kept"
    with mount("posix=acl,ro") as third:  # found by name alone, without a listing before
        assert facts(third.path / "dir/mode4755") == before["dir/mode4755"]


def test_a_listing_costs_one_request_for_each_combination(share, mount, emulator):
    for number in range(20):
        share.write(f"theirs{number}", b"x")
    with mount(QUIET) as m:
        for number in range(20):
            path = m.path / f"ours{number}"
            path.touch(0o600)
            path.chmod(0o640 if number % 2 else 0o600)
    with mount(QUIET) as m, emulator.counting() as usage:
        assert len(run(["ls", "-l", m.path]).stdout.splitlines()) == 41
        run(["find", m.path, "-ls"])
    assert usage.requests == {"ListDirectoriesAndFiles": 1, "GetPermission": 3}


def one_each(path):
    """Yield pieces of work that cost one request each."""
    (path / "dir").mkdir()
    yield "mkdir", "CreateDirectory"
    (path / "file").touch()
    yield "create", "CreateFile"
    os.chmod(path / "file", 0o600)
    yield "chmod", "SetFileProperties"
    os.chmod(path / "file", 0o400)
    yield "chmod to read-only", "SetFileProperties"
    os.chmod(path / "file", 0o644)
    yield "chmod back", "SetFileProperties"
    if os.geteuid() == 0:
        os.chown(path / "file", 5, 6)
        yield "chown", "SetFileProperties"
        os.chown(path / "dir", 5, 6)
        yield "chown of a directory", "SetDirectoryProperties"
    os.utime(path / "file", (1, 2))
    yield "utimens", "SetFileProperties"
    os.symlink("file", path / "link")
    yield "symlink", "CreateFile"
    os.chmod(path / "dir", 0o700)
    yield "chmod of a directory", "SetDirectoryProperties"
    os.rename(path / "file", path / "dir/file")
    yield "rename", "RenameFile"
    os.unlink(path / "dir/file")
    yield "unlink", "DeleteFile"
    os.rmdir(path / "dir")
    yield "rmdir", "DeleteDirectory"


def test_one_request_each(mount, emulator):
    wrong = {}
    with mount(f"{QUIET},actimeo=60") as m:
        for known in (False, True):
            work = m.path / f"work{known}"
            work.mkdir()
            os.listdir(work)
            before = emulator.totals()[0]
            for title, operation in one_each(work):
                after = emulator.totals()[0]
                requests = after - before
                if not known:  # one more for each new combination, and the descriptor above
                    assert requests.pop("CreatePermission", 0) <= 1
                if requests != Counter([operation]):
                    wrong[title, known] = dict(requests)
                before = after
    assert not wrong


def test_many_files_at_once_create_one_descriptor(mount, emulator):
    with mount(f"{QUIET},writeback") as m:
        with emulator.counting() as usage:
            for number in range(50):
                (m.path / f"file{number}").write_bytes(b"x")
            os.sync()
            for number in range(50):
                with (m.path / f"file{number}").open("r+b") as file:
                    os.fsync(file.fileno())
        assert usage.requests["CreateFile"] == 50
        assert usage.requests["CreatePermission"] == 1


def test_what_others_permit_is_kept(share, mount, described):
    share.sdk.create_directory("dir")
    share.sdk.get_directory_client("dir").set_http_headers(file_permission=WINDOWS)
    share.sdk.get_file_client("dir/file").upload_file(b"x", file_permission=WINDOWS)
    with mount("posix=acl") as m:
        assert stat.S_IMODE((m.path / "dir/file").stat().st_mode) == 0o644
        (m.path / "dir/file").chmod(0o711)
        (m.path / "dir/below").mkdir()
        (m.path / "dir/new").write_bytes(b"x")
    assert described("dir/file") == Descriptor.parse(WINDOWS).saying(
        0o711, os.getuid(), os.getgid()
    )
    sids = ["S-1-5-88-3-493", "BA", "S-1-5-21-1-2-3-1001"]
    key = share.sdk.get_directory_client("dir/below").get_directory_properties().permission_key
    below = Descriptor.parse(share.sdk.get_permission_for_share(key))
    assert [entry.sid for entry in below.entries] == sids
    assert below.entries[1].flags == {"OI", "CI", "ID"}
    assert [entry.sid for entry in described("dir/new").entries][1:] == sids[1:]


def test_a_change_by_another_mount_is_seen(mount):
    with mount("posix=acl,actimeo=0") as one, mount("posix=acl,actimeo=0") as other:
        (one.path / "file").write_bytes(b"x")
        (one.path / "dir").mkdir()
        with (other.path / "file").open("rb") as file:
            for mode in (0o600, 0o444, 0o4711):
                (one.path / "file").chmod(mode)
                assert stat.S_IMODE((other.path / "file").stat().st_mode) == mode
                assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == mode
                assert file.read() in {b"x", b""}
        (one.path / "dir").chmod(0o700)
        assert stat.S_IMODE((other.path / "dir").stat().st_mode) == 0o700
        one.path.chmod(0o711)
        assert stat.S_IMODE(other.path.stat().st_mode) == 0o711


def test_modes_of_a_mount_with_metadata_hold_until_they_are_set_anew(mount):
    with mount() as before:
        for name in ("a", "b"):
            (before.path / name).touch()
            (before.path / name).chmod(0o600)
        os.mkfifo(before.path / "fifo", 0o600)
    with mount("posix=acl") as m:
        assert stat.S_IMODE((m.path / "a").stat().st_mode) == 0o600
        (m.path / "a").chmod(0o640)
        (m.path / "fifo").chmod(0o622)
        assert stat.S_IMODE((m.path / "a").stat().st_mode) == 0o640
    with mount("posix=acl") as m:
        modes = {name: (m.path / name).stat().st_mode for name in os.listdir(m.path)}
    assert modes == {
        "a": stat.S_IFREG | 0o640, "b": stat.S_IFREG | 0o600, "fifo": stat.S_IFIFO | 0o622
    }  # fmt: skip


def test_read_only_files(mount):
    with mount("posix=acl") as m:
        check_read_only_files(m.path)


def test_the_journal_carries_modes(mount):
    with mount("posix=acl,writeback=600") as m:
        (m.path / "dir").mkdir(mode=0o750)
        with (m.path / "dir/file").open("wb") as file:
            file.write(b"x")
            os.fchmod(file.fileno(), 0o4711)
        m.kill()
    with mount("posix=acl") as m:
        assert stat.S_IMODE((m.path / "dir").stat().st_mode) == 0o750
        assert stat.S_IMODE((m.path / "dir/file").stat().st_mode) == 0o4711


def test_a_descriptor_that_cannot_be_had_is_an_error_and_hides_nothing(share, mount, emulator):
    share.sdk.get_file_client("file").upload_file(b"x", file_permission=WINDOWS)
    with mount("posix=acl,retry-timeout=1") as m:
        emulator.faults(rules=[{"action": "error", "operation": "GetPermission"}])
        assert errno_of(os.listdir, m.path) == errno.EIO
        m.expected.append("GetPermission|readdir|lookup")
        emulator.faults()
        assert os.listdir(m.path) == ["file"]


def refused(share, tmp_path):
    """Mount in vain, as a daemon and in the foreground, and return the sentence."""
    (tmp_path / "point").mkdir()
    words = [sys.executable, "-m", "azfuse", "mount", share.source, tmp_path / "point"]
    words += ["-o", f"posix=acl,state-dir={tmp_path}/state,log-file={tmp_path}/log"]
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path)}
    said = {run([*words, *more], check=False, env=runtime).returncode for more in ([], ["-f"])}
    assert said == {2}
    return run(words, check=False, env=runtime).stderr


def test_a_share_that_takes_no_descriptors_is_refused(share, emulator, tmp_path):
    emulator.faults(rules=[{"action": "full", "operation": "CreatePermission"}])
    line = f"azfuse: posix=acl: share {share.name!r} takes no security descriptors from us "
    assert refused(share, tmp_path).startswith(line)


def test_an_nfs_share_is_refused(emulator, tmp_path):
    share = Share(emulator, "nfs-acl")
    share.sdk.create_share(protocols="NFS")
    assert refused(share, tmp_path) == (
        "azfuse: posix=acl: 'nfs-acl' is an NFS share, which has no security descriptors\n"
    )


def test_a_read_only_mount_writes_nothing(share, mount, emulator):
    share.write("file", b"x")
    with emulator.counting() as usage, mount("posix=acl,ro") as m:
        assert stat.S_IMODE((m.path / "file").stat().st_mode) == 0o644
        assert errno_of(os.chmod, m.path / "file", 0o600) == errno.EROFS
    assert "CreatePermission" not in usage.requests
    assert usage.requests["GetPermission"] == 1

"""When things go wrong: the service away, slow, full, or refusing; and what programs see of it."""

import base64
import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from azfuse.rest.wire import DEVELOPMENT_ACCOUNT
from tests.mount.conftest import make_mount, make_share
from tests.mount.harness import Emulator, errno_of, python, run

MIB = 1024 * 1024
RETRIED = r"try \d+ failed|giving up after|will try again|(EIO|ETIMEDOUT): "


@pytest.fixture
def own_share(own_emulator):
    with make_share(own_emulator) as share:
        yield share


@pytest.fixture
def own_mount(own_share, tmp_path):
    return make_mount(tmp_path, own_share.source)


def background(code, *args):
    """Start Python code in another process; its errno, if any, is printed."""
    wrapped = f"import os, sys\ntry:\n    {code}\n    print(0)\nexcept OSError as e: print(e.errno)"
    return subprocess.Popen(
        [sys.executable, "-c", wrapped, *args], stdout=subprocess.PIPE, text=True
    )


def answer_of(process):
    return int(process.communicate(timeout=60)[0])


def test_programs_wait_while_the_service_is_away(own_emulator, own_share, own_mount):
    own_share.write("file", b"content")
    with own_mount("retry-timeout=60,actimeo=0") as m:
        m.expected.append(RETRIED)
        own_emulator.stop(signal.SIGKILL)
        reader = background("assert open(sys.argv[1], 'rb').read() == b'content'", m.path / "file")
        writer = background("open(sys.argv[1], 'wb').write(b'written')", m.path / "new")
        with pytest.raises(subprocess.TimeoutExpired):
            reader.wait(0.5)
        own_emulator.start()
        assert answer_of(reader) == 0
        assert answer_of(writer) == 0
        assert own_share.read("new") == b"written"


def test_after_the_retry_time_programs_are_told_and_nothing_is_lost(
    own_emulator, own_share, own_mount
):
    with own_mount("retry-timeout=1,actimeo=60,dirty-expire=600") as m:
        m.expected.append(RETRIED)
        with (m.path / "file").open("w+b", buffering=0) as file:
            file.write(b"first")
            os.fsync(file.fileno())
            own_emulator.stop()
            file.write(b" second" * 100)
            assert errno_of(os.fsync, file.fileno()) in (errno.EIO, errno.ETIMEDOUT)
            assert os.pread(file.fileno(), 12, 0) == b"first second"
            assert errno_of(os.mkdir, m.path / "dir") in (errno.EIO, errno.ETIMEDOUT)
            own_emulator.start()
            os.fsync(file.fileno())
        assert own_share.read("file") == b"first" + b" second" * 100
        os.mkdir(m.path / "dir")
        assert sorted(os.listdir(m.path)) == ["dir", "file"]


def test_dirty_data_goes_up_by_itself_when_the_service_is_back(own_emulator, own_share, own_mount):
    with own_mount("retry-timeout=1,dirty-expire=0.2") as m:
        m.expected.append(RETRIED)
        with (m.path / "file").open("wb", buffering=0) as file:
            file.write(b"first")
            os.fsync(file.fileno())
            own_emulator.stop()
            file.write(b" second")
            assert errno_of(os.fsync, file.fileno()) in (errno.EIO, errno.ETIMEDOUT)
            own_emulator.start()
            assert any(own_share.read("file") == b"first second" for _ in range(5000))


def test_a_failed_close_tells_and_the_bytes_are_kept(own_emulator, own_share, own_mount):
    with own_mount("retry-timeout=1,dirty-expire=600") as m:
        m.expected.append(RETRIED)
        descriptor = os.open(m.path / "file", os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, b"content")
        own_emulator.stop()
        assert errno_of(os.close, descriptor) in (errno.EIO, errno.ETIMEDOUT)
        own_emulator.start()
    # The unmount saved it.
    assert own_share.read("file") == b"content"


def test_the_emulator_is_killed_between_many_writes(own_emulator, own_share, own_mount):
    with own_mount("retry-timeout=60") as m:
        m.expected.append(RETRIED)
        code = (
            "import os, sys\n"
            "for n in range(100):\n"
            "    with open(f'{sys.argv[1]}/{n}', 'wb') as file:\n"
            "        file.write(b'%d' % n * 1000)\n"
            "    print(n, flush=True)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, m.path], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() in ("20", "50", "80"):
                own_emulator.stop(signal.SIGKILL)
                own_emulator.start()
        process.stdout.close()
        assert process.wait(60) == 0
        assert len(os.listdir(m.path)) == 100
    for number in range(100):
        assert own_share.read(str(number)) == b"%d" % number * 1000


@pytest.mark.parametrize("action", ["busy", "error", "error-after", "reset-before", "reset-after"])
def test_passing_trouble_is_not_seen_by_programs(emulator, mount, action):
    with mount("retry-timeout=60") as m:
        m.expected.append(RETRIED)
        emulator.faults(rules=[{"action": action, "times": 1, "after": n} for n in range(0, 24, 3)])
        (m.path / "dir").mkdir()
        (m.path / "dir/file").write_bytes(b"x" * 6 * MIB)
        with (m.path / "dir/file").open("r+b") as file:
            file.seek(100)
            file.write(b"y")
        (m.path / "dir/second").write_bytes(b"second")
        os.replace(m.path / "dir/second", m.path / "dir/file2")
        os.chmod(m.path / "dir/file2", 0o600)
        os.setxattr(m.path / "dir/file2", "user.a", b"b")
        os.symlink("x", m.path / "link")
        assert sorted(os.listdir(m.path / "dir")) == ["file", "file2"]
        content = (m.path / "dir/file").read_bytes()
        assert content == b"x" * 100 + b"y" + b"x" * (6 * MIB - 101)
        os.rename(m.path / "dir", m.path / "moved")
        os.unlink(m.path / "moved/file")
        os.unlink(m.path / "moved/file2")
        os.rmdir(m.path / "moved")
        assert os.listdir(m.path) == ["link"]


@pytest.mark.parametrize("action", ["cut", "reset-before"])
def test_a_broken_download_is_taken_up_again(emulator, share, mount, action):
    content = os.urandom(10 * MIB)
    share.write("file", content)
    with mount("retry-timeout=60") as m:
        m.expected.append(RETRIED)
        emulator.faults(
            rules=[{"action": action, "operation": "GetFile", "times": 2, "bytes": 100_000}]
        )
        assert (m.path / "file").read_bytes() == content


def test_a_full_share(emulator, share, mount):
    with mount("dirty-expire=600") as m:
        m.expected.append("ENOSPC|could not be uploaded")
        (m.path / "kept").write_bytes(b"x" * 1000)
        emulator.faults(quota_bytes={share.name: 3 * MIB})
        with (m.path / "file").open("wb", buffering=0) as file:
            code = errno_of(file.write, b"x" * 5 * MIB) or errno_of(os.fsync, file.fileno())
            assert code == errno.ENOSPC
            os.ftruncate(file.fileno(), 0)
            file.seek(0)
            file.write(b"fits")
            os.fsync(file.fileno())
        assert share.read("file") == b"fits"
        descriptor = os.open(m.path / "file2", os.O_CREAT | os.O_WRONLY)
        code = errno_of(os.write, descriptor, b"x" * 5 * MIB) or errno_of(os.close, descriptor)
        assert code == errno.ENOSPC
        said = run(["cp", m.path / "kept", m.path / "copy"], check=False)
        assert said.returncode == 0
        os.unlink(m.path / "file2")
        assert (m.path / "kept").read_bytes() == b"x" * 1000


def test_a_stalled_answer_does_not_stop_the_others(emulator, share, mount):
    share.write("stalled", b"x" * 1000)
    share.write("file", b"content")
    with mount("retry-timeout=60,actimeo=60") as m:
        m.expected.append(RETRIED)
        os.listdir(m.path)
        emulator.faults(
            rules=[{"action": "delay", "operation": "GetFile", "path": "*stalled", "seconds": 4}]
        )
        reader = background("open(sys.argv[1], 'rb').read()", m.path / "stalled")
        while not emulator.faults_applied():  # each look is a request
            assert reader.poll() is None
        assert (m.path / "file").read_bytes() == b"content"
        (m.path / "new").write_bytes(b"x")
        assert reader.poll() is None
        assert answer_of(reader) == 0


def azfuse_mount(source, point, state, env=None, options=""):
    words = ["-o", f"state-dir={state}/state{options}"]
    clean = {name: "" for name in os.environ if name.startswith("AZURE_STORAGE_")}
    return run(
        [sys.executable, "-m", "azfuse", "mount", source, point, *words],
        check=False,
        env={**clean, "XDG_RUNTIME_DIR": str(state), **(env or {})},
    )


@pytest.mark.parametrize("trouble", ["key", "share", "host", "point", "not a directory", "option"])
def test_what_cannot_be_mounted_is_said_in_one_line(emulator, share, tmp_path, trouble):
    point = tmp_path / "point"
    point.mkdir()
    source, env, options = share.source, {}, ""
    if trouble == "key":
        env = {"AZURE_STORAGE_KEY": base64.b64encode(b"wrong").decode(),
               "AZURE_STORAGE_ACCOUNT": DEVELOPMENT_ACCOUNT}  # fmt: skip
    elif trouble == "share":
        source += "missing"
    elif trouble == "host":
        source = f"http://127.0.0.1:9/{DEVELOPMENT_ACCOUNT}/share"
    elif trouble == "point":
        point = tmp_path / "missing"
    elif trouble == "not a directory":
        point = tmp_path / "file"
        point.touch()
    else:
        options = ",no-such-option=1"
    done = azfuse_mount(source, point, tmp_path, env, options)
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert str(point) not in run(["cat", "/proc/mounts"]).stdout


def test_the_share_goes_away_while_mounted(emulator, share, mount):
    with mount("actimeo=0,dirty-expire=600") as m:
        m.expected.append("ShareNotFound|ShareBeingDeleted|ResourceNotFound")
        (m.path / "file").write_bytes(b"x")
        share.sdk.delete_share()
        assert errno_of(os.listdir, m.path) == errno.ENOENT
        assert errno_of(os.mkdir, m.path / "dir") == errno.ENOENT


def test_entries_that_others_removed(share, mount):
    share.write("file", b"content")
    with mount("actimeo=0") as m:
        with (m.path / "file").open("rb") as file:
            share.sdk.get_file_client("file").delete_file()
            assert errno_of(os.stat, m.path / "file") == errno.ENOENT
            assert errno_of(os.pread, file.fileno(), 10, 0) in (errno.ENOENT, errno.ESTALE)
        share.write("file", b"another")
        assert (m.path / "file").read_bytes() == b"another"
        share.sdk.create_directory("dir")
        assert (m.path / "dir").is_dir()
        share.sdk.delete_directory("dir")
        share.write("dir", b"now a file")
        assert (m.path / "dir").read_bytes() == b"now a file"


def test_a_program_that_waits_can_be_killed(own_emulator, own_share, own_mount):
    own_share.write("file", b"x" * 100_000)
    with own_mount("retry-timeout=2,actimeo=60") as m:
        m.expected.append(RETRIED)
        os.listdir(m.path)
        own_emulator.stop()
        reader = background("open(sys.argv[1], 'rb').read()", m.path / "file")
        reader.kill()
        reader.communicate(timeout=30)
        own_emulator.start()
        assert (
            python("import sys; print(len(open(sys.argv[1]).read()))", m.path / "file")
            == "100000\n"
        )


def test_unmounting_while_the_service_is_away_waits_for_it(own_emulator, own_share, own_mount):
    with own_mount("retry-timeout=60,dirty-expire=600") as m:
        m.expected.append(RETRIED)
        m.expected.append("saving data")
        file = (m.path / "file").open("wb", buffering=0)
        file.write(b"dirty")
        own_emulator.stop()
        m.process.terminate()
        restart = threading.Timer(1, own_emulator.start)
        restart.start()
        m.process.wait(60)
        restart.join()
        errno_of(file.close)
    assert own_share.read("file") == b"dirty"


def test_the_harness_notices_a_mount_that_hangs(share, mount):
    """The time limit of the harness itself: without it a hung mount would hang the tests."""

    def hang():
        with mount(limit=1.5) as m:
            m.process.send_signal(signal.SIGSTOP)
            assert errno_of(os.stat, m.path / "anything") in (errno.ENOTCONN, errno.ECONNABORTED)

    with pytest.raises(AssertionError, match="hung"):
        hang()


def test_the_emulator_says_what_it_serves(own_emulator: Emulator):
    assert own_emulator.endpoint.endswith(DEVELOPMENT_ACCOUNT)
    assert own_emulator.log == ""

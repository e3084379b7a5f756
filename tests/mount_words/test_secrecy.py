"""The key is in no place where another process, a log or a core dump could show it."""

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from azfuse.mount.credentials import find_login, read_credentials_file
from azfuse.mount.errors import UsageError
from azfuse.mount.registry import Registry
from azfuse.mount.source import parse_source
from azfuse.rest.auth import Sas, SharedKey
from tests.mount_words.conftest import REPOSITORY, TIME_LIMIT, clean_environment
from tests.mount_words.service import Answer, serve

#: Ours alone: ps(1) shows the environments of other tests as well.
KEY = base64.b64encode(os.urandom(18)).decode()
SOURCE = parse_source("acct/share")


def test_the_environment_that_the_kernel_shows_is_wiped():
    code = """
import os
from pathlib import Path
from azfuse.mount.credentials import find_login
from azfuse.mount.source import parse_source
find_login(parse_source("acct/share"), None, os.environ)
shown = Path("/proc/self/environ").read_bytes()
assert b"MARK=here" in shown
assert b"SECRET-" not in shown, shown
assert b"a2V5" not in shown, shown
assert os.environ["AZURE_CLIENT_SECRET"] == "SECRET-OF-IDENTITY"
assert os.popen("echo $AZURE_CLIENT_SECRET-$MARK-$AZURE_STORAGE_KEY").read() == (
    "SECRET-OF-IDENTITY-here-\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=clean_environment(
            AZURE_STORAGE_KEY=KEY, AZURE_STORAGE_SAS_TOKEN="sig=SECRET-SAS",
            AZURE_CLIENT_SECRET="SECRET-OF-IDENTITY", MARK="here",
        ),
        capture_output=True, text=True, timeout=TIME_LIMIT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a service's credentials, as systemd.exec(5) describes it."""
    path = tmp_path / "credentials"
    path.mkdir(mode=0o700)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path))
    return path


def credential(directory: Path, text: str, name: str = "azfuse", mode: int = 0o400) -> Path:
    path = directory / name
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_credential_of_systemd_comes_before_the_environment(systemd):
    credential(systemd, f"username=acct\npassword={KEY}\n")
    environ = {"CREDENTIALS_DIRECTORY": str(systemd), "AZURE_STORAGE_SAS_TOKEN": "sig=x"}
    login = find_login(SOURCE, None, environ)
    assert isinstance(login.credentials, SharedKey)
    assert login.found_in == str(systemd / "azfuse")


def test_a_file_that_is_named_comes_before_the_credential_of_systemd(systemd, tmp_path):
    credential(systemd, f"key={KEY}")
    named = credential(tmp_path, "sas = 'sv=1&sig=x'", "named")
    login = find_login(SOURCE, named, {"CREDENTIALS_DIRECTORY": str(systemd)})
    assert isinstance(login.credentials, Sas)


@pytest.mark.skipif(os.geteuid() != 0, reason="systemd gives root's files")
def test_what_an_acl_lets_the_user_of_a_service_read_is_accepted(systemd, tmp_path):
    # With User= the file stays root's, and its ACL shows as rights of the group.
    path = credential(systemd, f"key={KEY}", mode=0o440)
    assert read_credentials_file(path) == {"AZURE_STORAGE_KEY": KEY}
    path.chmod(0o444)
    with pytest.raises(UsageError, match="may be read by others"):
        read_credentials_file(path)
    elsewhere = credential(tmp_path, f"key={KEY}", "elsewhere", 0o440)
    with pytest.raises(UsageError, match="may be read by others"):
        read_credentials_file(elsewhere)


@pytest.fixture
def source() -> Iterator[str]:
    with serve(Answer()) as endpoint:
        yield f"{endpoint}/share"


@pytest.mark.mount
@pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="no /dev/fuse")
@pytest.mark.parametrize("given", ["environment", "file", "systemd"])
def test_the_key_is_nowhere_while_mounted(azfuse, source, mount_point, tmp_path, given):
    words = f"state-dir={tmp_path / 'state'},log-file={tmp_path / 'log'},log-level=debug"
    variables = {}
    if given == "environment":
        variables["AZURE_STORAGE_KEY"] = KEY
    elif given == "file":
        words += f",credentials={credential(tmp_path, f'password={KEY}', 'file')}"
    else:
        (tmp_path / "systemd").mkdir()
        credential(tmp_path / "systemd", f"key = '{KEY}'")
        variables["CREDENTIALS_DIRECTORY"] = str(tmp_path / "systemd")
    done = azfuse("mount", source, str(mount_point), "-o", words, **variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    record = Registry().find(str(mount_point))
    assert record is not None
    process = Path(f"/proc/{record.pid}")
    ps = subprocess.run(
        ["ps", "auxwwe"], capture_output=True, timeout=TIME_LIMIT, check=True, env={"LC_ALL": "C"}
    )
    places = {
        "cmdline": (process / "cmdline").read_bytes(),
        "environ": (process / "environ").read_bytes(),
        "mounts": Path("/proc/self/mountinfo").read_bytes(),
        "ps": ps.stdout,
        "log": (tmp_path / "log").read_bytes(),
        "record": b"".join(path.read_bytes() for path in Registry().directory.glob("*.json")),
        "state": b"".join(p.read_bytes() for p in (tmp_path / "state").rglob("*") if p.is_file()),
    }
    assert [name for name, content in places.items() if KEY.encode() in content] == []
    azfuse("unmount", str(mount_point))
    assert KEY.encode() not in (tmp_path / "log").read_bytes()


def test_a_crash_writes_no_core(tmp_path):
    code = """
import os, resource, signal
from azfuse.mount.secrecy import forbid_dumps
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
forbid_dumps()
os.kill(os.getpid(), signal.SIGABRT)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    ) as process:
        _, status = os.waitpid(process.pid, 0)
        process.returncode = status
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)

"""A Debian with azfuse installed, and a machine for each test that boots it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, DEVELOPMENT_PORT
from tests.system import debian
from tests.system.machine import Machine, machine_of, why_not

REPOSITORY = Path(__file__).parents[2]
#: The Python that is the tree's as well: azfuse is compiled here and runs there.
PYTHON = "/usr/bin/python3"
#: Seconds for pip to compile and to install.
INSTALL_LIMIT = 600
ENDPOINT = f"http://127.0.0.1:{DEVELOPMENT_PORT}/{DEVELOPMENT_ACCOUNT}"
SHARE = "team"
SOURCE = f"{ENDPOINT}/{SHARE}"
#: What a key looks like, and is not.
WRONG_KEY = "bm90IHRoZSBrZXk="
USER = "ada"


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    mine = [item for item in items if item.path.parent == here]
    reason = why_not() if mine else None
    for item in mine:
        item.add_marker(pytest.mark.long)
        item.add_marker(pytest.mark.timeout(debian.BUILD_LIMIT + INSTALL_LIMIT))
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Iterator[Path]:
    """A Debian tree with azfuse as `make install` puts it there, and a user beside root."""
    if shutil.which("make") is None or not Path(PYTHON).exists():
        pytest.skip(f"make and {PYTHON} are needed to install azfuse")
    tree = debian.debian_tree()
    same = [_version([PYTHON]), _version(["chroot", str(tree), PYTHON])]
    if same[0] != same[1]:
        pytest.skip(f"{PYTHON} is {same[0]} here, and {same[1]} in the Debian tree")
    with debian.layered([tree], tmp_path_factory.mktemp("installed")) as root:
        done = subprocess.run(
            ["make", "install", f"DESTDIR={root}", "PREFIX=/usr/local", f"PYTHON={PYTHON}"],
            cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=INSTALL_LIMIT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        for words in (
            ["useradd", "--create-home", "--shell", "/bin/bash", USER],
            ["systemd-machine-id-setup"],
            ["mkdir", "-p", "/var/log/journal", "/etc/azfuse", "/mnt/share"],
        ):
            subprocess.run(["chroot", root, *words], timeout=60, check=True, capture_output=True)
        yield root


def _version(python: list[str]) -> str:
    words = [*python, "-c", "import sys; print(*sys.version_info[:2], sep='.')"]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture
def switched_off(installed, tmp_path) -> Iterator[Machine]:
    """A machine with azfuse that is not booted yet."""
    with machine_of([installed], tmp_path) as machine:
        yield machine


@pytest.fixture
def machine(switched_off: Machine) -> Machine:
    """A booted machine, on which the emulator runs and has a share."""
    switched_off.boot()
    start_emulator(switched_off)
    return switched_off


def start_emulator(machine: Machine) -> None:
    machine.run("systemctl", "start", "azfuse-emulator")
    machine.run(
        "env", "AZURE_STORAGE_CONNECTION_STRING=UseDevelopmentStorage=true", "azfuse", "share",
        "create", SHARE,
    )  # fmt: skip


_SDK = """
import sys
from azure.storage.fileshare import ShareClient
word, endpoint, share, key, path = sys.argv[1:]
with ShareClient(endpoint, share, credential=key, retry_total=0) as client:
    if word == "read":
        sys.stdout.write(client.get_file_client(path).download_file().readall().decode())
    else:
        client.get_file_client(path).upload_file(sys.stdin.read().encode())
"""


def _sdk(machine: Machine, word: str, path: str, stdin: str = "") -> str:
    words = [word, ENDPOINT, SHARE, DEVELOPMENT_KEY, path]
    return machine.run_beside(sys.executable, "-c", _SDK, *words, stdin=stdin)


def on_share(machine: Machine, path: str) -> str:
    """Return a file's content as the official SDK reads it from the share."""
    return _sdk(machine, "read", path)


def put_on_share(machine: Machine, path: str, text: str) -> None:
    """Write a file to the share with the official SDK."""
    _sdk(machine, "write", path, text)


_FAULTS = """
import sys, urllib.request
body = sys.stdin.read().encode()
request = urllib.request.Request(sys.argv[1], method="PUT", data=body)
urllib.request.urlopen(request, timeout=30).close()
"""


def slow_down(machine: Machine, milliseconds: int) -> None:
    """Have the emulator take longer for each request; 0 ends that."""
    url = f"http://127.0.0.1:{DEVELOPMENT_PORT}/-/admin/faults"
    faults = json.dumps({"latency_ms": milliseconds} if milliseconds else {})
    machine.run_beside(sys.executable, "-c", _FAULTS, url, stdin=faults)


def configure(machine: Machine, name: str = "team", options: str = "", **more: str) -> None:
    """Write what `azfuse@name` is to mount."""
    settings = {"SOURCE": SOURCE, "WHERE": "/mnt/share", "OPTIONS": options, **more}
    machine.write(
        f"/etc/azfuse/{name}.conf", "".join(f"{key}={value}\n" for key, value in settings.items())
    )

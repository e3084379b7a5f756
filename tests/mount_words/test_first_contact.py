"""What the service says at first contact, as one sentence; nothing stays mounted."""

import socket
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from azfuse.mount.mountpoint import mounted_here
from tests.mount_words.conftest import Run, only_sentence
from tests.mount_words.service import Answer, serve

KEY = "a2V5IG9mIHRoZSBhY2NvdW50"
SAS = "sv=2024-11-04&sp=rl&sr=s&sig=SECRETSIG"
LONG_AGO = formatdate(time.time() - 7200, usegmt=True)

pytestmark = pytest.mark.mount


def refused(azfuse: Run, source: str, mount_point: Path, state: str, **variables: str) -> str:
    """Mount in vain, both ways, and return the sentence."""
    words = ["mount", source, str(mount_point), "-o", f"retry-timeout=1,{state}"]
    line = only_sentence(azfuse(*words, **variables), 1)
    assert mounted_here(mount_point) is None
    log = azfuse(*words, "-f", "-o", "log-level=error", **variables).stderr
    assert line in log
    assert "Traceback" not in log
    assert "SECRET" not in log
    return line


@pytest.mark.parametrize(
    ("answer", "directory", "sentence"),
    [
        (
            Answer(404, "ShareNotFound", "The specified share does not exist."), "",
            "share 'share' does not exist in account acct",
        ),
        (
            Answer(404, "ResourceNotFound", "The specified resource does not exist."), "/no/dir",
            "directory 'no/dir' does not exist in share 'share'",
        ),
        (
            Answer(409, "ResourceTypeMismatch", "The specified resource type does not match."),
            "/file", "'file' in share 'share' is not a directory",
        ),
        (
            Answer(403, "AuthenticationFailed", "Server failed to authenticate the request.",
                   "The MAC signature found in the HTTP request is not the same"), "",
            "the key in the environment is not the key of account acct",
        ),
        (
            Answer(403, "AuthenticationFailed", "Server failed to authenticate the request.",
                   "Cannot find the claimed account when trying to GetProperties"), "",
            "the service knows no account acct",
        ),
        (
            Answer(403, "AuthenticationFailed", "Server failed to authenticate the request.",
                   date=LONG_AGO), "",
            "s ahead, so the service refuses its requests: set the clock right",
        ),
        (
            Answer(403, "AuthorizationPermissionMismatch", "This request is not authorized."), "",
            "do not permit listing share 'share' (AuthorizationPermissionMismatch)",
        ),
        (Answer(409, "ShareBeingDeleted", "Try later."), "", "share 'share' is being deleted"),
        (Answer(418, "Teapot", "Short and stout."), "", "Short and stout. (418 Teapot"),
        (Answer(503, "ServerBusy", "The server is busy."), "", "does not answer as a File service"),
    ],
)  # fmt: skip
def test_refusals(azfuse, mount_point, state, answer, directory, sentence):
    with serve(answer) as endpoint:
        source = f"{endpoint}/share{directory}"
        line = refused(azfuse, source, mount_point, state, AZURE_STORAGE_KEY=KEY)
    assert sentence in line
    assert answer.requests


def test_a_sas_that_is_not_accepted(azfuse, mount_point, state):
    answer = Answer(403, "AuthenticationFailed", "Server failed.", "Signature did not match.\nMore")
    with serve(answer) as endpoint:
        line = refused(azfuse, f"{endpoint}/share", mount_point, state, AZURE_STORAGE_SAS_TOKEN=SAS)
    assert line.endswith("is not accepted for account acct: Signature did not match")


def test_an_expired_sas_is_not_even_tried(azfuse, mount_point, state):
    answer = Answer()
    sas = f"{SAS}&se=2020-01-02T03:04:05Z"
    with serve(answer) as endpoint:
        line = refused(azfuse, f"{endpoint}/share", mount_point, state, AZURE_STORAGE_SAS_TOKEN=sas)
    assert line == "azfuse: the shared access signature expired at 2020-01-02T03:04:05Z"
    assert answer.requests == []


def test_nobody_listens(azfuse, mount_point, state):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        source = f"http://127.0.0.1:{unused.getsockname()[1]}/acct/share"
        line = refused(azfuse, source, mount_point, state, AZURE_STORAGE_KEY=KEY)
    assert "connection refused by 127.0.0.1:" in line


def test_an_unknown_host(azfuse, mount_point, state):
    source = "https://acct.file.core.invalid/share"
    line = refused(azfuse, source, mount_point, state, AZURE_STORAGE_KEY=KEY)
    assert "unknown host acct.file.core.invalid" in line


def test_tls_where_there_is_none(azfuse, mount_point, state):
    with serve(Answer()) as endpoint:
        source = f"{endpoint.replace('http:', 'https:')}/share"
        line = refused(azfuse, source, mount_point, state, AZURE_STORAGE_KEY=KEY)
    assert "no TLS connection to 127.0.0.1:" in line

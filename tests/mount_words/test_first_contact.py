"""What the service says at first contact, as one sentence; nothing stays mounted."""

import re
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from azfuse.mount.mountpoint import mounted_here
from tests.mount_words.conftest import Run, only_sentence
from tests.mount_words.service import Answer, serve

KEY = "a2V5IG9mIHRoZSBhY2NvdW50"
SAS = "sv=2024-11-04&sp=rl&sr=s&sig=SECRETSIG"
LONG_AGO = formatdate(time.time() - 7200, usegmt=True)

pytestmark = pytest.mark.mount


def refused(
    azfuse: Run, source: str, mount_point: Path, state: str, *, status: int = 1, **variables: str
) -> str:
    """Mount in vain, both ways, and return the sentence."""
    words = ["mount", source, str(mount_point), "-o", f"retry-timeout=1,{state}"]
    line = only_sentence(azfuse(*words, **variables), status)
    assert mounted_here(mount_point) is None
    again = only_sentence(azfuse(*words, "-f", "-o", "log-level=error", **variables), status)
    # What is counted in seconds has gone on meanwhile, and how often was tried is chance.
    counted = re.compile(r"\d+ (s |tries)")
    assert counted.sub("", again) == counted.sub("", line)
    assert "SECRET" not in line
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
    # Trying again is no use where the credentials are wrong, but it is where only the clock is.
    status = 3 if answer.status == 403 and answer.date is None else 1
    with serve(answer) as endpoint:
        source = f"{endpoint}/share{directory}"
        line = refused(azfuse, source, mount_point, state, status=status, AZURE_STORAGE_KEY=KEY)
    assert sentence in line
    assert answer.requests


def test_a_sas_that_is_not_accepted(azfuse, mount_point, state):
    answer = Answer(403, "AuthenticationFailed", "Server failed.", "Signature did not match.\nMore")
    with serve(answer) as endpoint:
        source, sas = f"{endpoint}/share", SAS
        line = refused(azfuse, source, mount_point, state, status=3, AZURE_STORAGE_SAS_TOKEN=sas)
    assert line.endswith("is not accepted for account acct: Signature did not match")


def test_an_expired_sas_is_not_even_tried(azfuse, mount_point, state):
    answer = Answer()
    sas = f"{SAS}&se=2020-01-02T03:04:05Z"
    with serve(answer) as endpoint:
        source = f"{endpoint}/share"
        line = refused(azfuse, source, mount_point, state, status=3, AZURE_STORAGE_SAS_TOKEN=sas)
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


def test_a_certificate_that_nobody_vouches_for(azfuse, mount_point, state, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    with serve(Answer(), context) as endpoint:
        line = refused(azfuse, f"{endpoint}/share", mount_point, state, AZURE_STORAGE_KEY=KEY)
    assert "the TLS certificate of 127.0.0.1:" in line
    assert "cannot be trusted: self-signed certificate" in line


def self_signed(directory: Path) -> Path:
    """Make a key and a certificate for 127.0.0.1 that it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = directory / "certificate.pem"
    encoding = serialization.Encoding.PEM
    path.write_bytes(
        certificate.public_bytes(encoding)
        + key.private_bytes(
            encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path

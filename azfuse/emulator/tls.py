"""Certificates for HTTPS: those given, or one made for the addresses the emulator listens on."""

import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path


class CertificateUnusable(Exception):  # noqa: N818 (it says what happened)
    """TLS cannot be offered like this; the message is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files that TLS needs: the certificate with its chain, and the private key."""

    chain: Path
    key: Path


def given(chain: Path, key: Path) -> Certificate:
    """Return a certificate of the user's own once it is known to load."""
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(chain, key)
    except ssl.SSLError as error:
        raise CertificateUnusable(
            f"{chain} and {key} are not a certificate in PEM form and its key: "
            f"{error.reason or error}"
        ) from error
    except OSError as error:
        raise CertificateUnusable(
            f"cannot read {error.filename or chain}: {error.strerror}"
        ) from error
    return Certificate(chain, key)


def make(directory: Path, host: str) -> Certificate:
    """Make an authority and a certificate of it for *host* and the names of this machine.

    What clients have to trust is `ca.pem` in *directory*; the authority's own key is forgotten.
    Raises CertificateUnusable.
    """
    import trustme  # slow to import, and not needed by others

    names = ["localhost", "127.0.0.1", "::1", "*.file.localhost"]
    if not _is_any(host) and host not in names:
        names.append(host)
    authority = trustme.CA(organization_name="azfuse emulator")
    issued = authority.issue_cert(*names)
    made = Certificate(directory / "tls.pem", directory / "tls.key")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        made.chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        made.key.unlink(missing_ok=True)
        with os.fdopen(os.open(made.key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(issued.private_key_pem.bytes())
    except OSError as error:
        raise CertificateUnusable(
            f"cannot write certificates to {directory}: {error.strerror or error}"
        ) from error
    return made


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False

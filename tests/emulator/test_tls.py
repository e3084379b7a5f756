"""HTTPS, settings at the start and live, and life as the first process of a container."""

import json
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trustme

from tests.emulator.conftest import Process
from tests.emulator.signing import ACCOUNT, signed
from tests.emulator.test_process import call, run


def trusting(authority):
    return httpx.Client(verify=ssl.create_default_context(cafile=str(authority)), trust_env=False)


def list_shares(url, client):
    return call(url, "GET", "/", "comp=list", client=client)


def test_a_certificate_made_by_the_emulator(tmp_path):
    process = Process("--data", str(tmp_path), "--tls-self-signed")
    output = process.process.stdout
    assert output is not None
    announced = Path(output.readline().split()[-1])
    assert process.url.startswith("https://127.0.0.1:")
    assert process.connection_string.startswith("DefaultEndpointsProtocol=https;")
    assert announced == tmp_path / "tls" / "ca.pem"
    assert (tmp_path / "tls" / "tls.key").stat().st_mode & 0o777 == 0o600
    with trusting(announced) as client:
        assert list_shares(process.url, client).status_code == 200
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError):
        list_shares(process.url, client)
    assert process.stop() == (0, "")


def test_a_made_certificate_in_memory_leaves_nothing(tmp_path):
    process = Process("--in-memory", "--tls-self-signed")
    output = process.process.stdout
    assert output is not None
    announced = Path(output.readline().split()[-1])
    with trusting(announced) as client:
        assert list_shares(process.url, client).status_code == 200
    assert process.stop() == (0, "")
    assert not announced.parent.exists()


def test_a_certificate_given(tmp_path):
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    files = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    process = Process("--in-memory", *files)
    with trusting(tmp_path / "ca.pem") as client:
        assert list_shares(process.url, client).status_code == 200
    assert process.stop() == (0, "")


def test_faults_reset_connections_over_tls_too(tmp_path):
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps({"rules": [{"action": "reset-before", "times": 1}]}))
    options = ("--data", str(tmp_path / "data"), "--tls-self-signed", "--faults", str(faults))
    process = Process(*options)
    with trusting(tmp_path / "data" / "tls" / "ca.pem") as client:
        with pytest.raises(httpx.TransportError):
            list_shares(process.url, client)
        assert list_shares(process.url, client).status_code == 200
    assert process.stop() == (0, "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tls-cert", "c"], "together"),
        (["--tls-cert", "c", "--tls-key", "k", "--tls-self-signed"], "together"),
        (["--tls-cert", "{0}/none", "--tls-key", "{0}/none"], "cannot read"),
        (["--tls-cert", "{0}/text", "--tls-key", "{0}/text"], "are not a certificate"),
        (["--faults", "{0}/none"], "cannot read"),
        (["--faults", "{0}/text"], "make no sense"),
        (["--faults", "{0}/list"], "not a JSON object"),
        (["--faults", "{0}/wrong"], "unknown action 'explode'"),
    ],
)
def test_options_that_make_no_sense(tmp_path, options, words):
    (tmp_path / "text").write_text("text")
    (tmp_path / "list").write_text("[]")
    (tmp_path / "wrong").write_text('{"rules": [{"action": "explode"}]}')
    filled = [option.format(tmp_path) for option in options]
    status, output, errors = run("--in-memory", "--port", "0", *filled)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert words in errors


def test_faults_latency_and_settings_at_the_start_and_live(tmp_path):
    faults = tmp_path / "faults.json"
    rule = {"action": "busy", "operation": "ListShares", "times": 1, "retry_after": 2}
    faults.write_text(json.dumps({"latency_ms": 5, "bandwidth_mib": 7, "rules": [rule]}))
    process = Process(
        "--in-memory", "--faults", str(faults), "--latency", "1", "--soft-delete-days", "3",
        "--share-delete-seconds", "9", "--copy-seconds", "2",
    )  # fmt: skip
    try:
        settings = process.admin("GET", "faults")
        assert (settings["latency_ms"], settings["bandwidth_mib"]) == (1, 7)
        with httpx.Client(trust_env=False) as client:
            busy = list_shares(process.url, client)
            assert (busy.status_code, busy.headers["retry-after"]) == (503, "2")
            assert list_shares(process.url, client).status_code == 200
            shown = process.admin("GET", "settings")
            assert shown["soft_delete_days"] == 3
            assert shown["share_delete_seconds"] == 9
            assert shown["copy_seconds"] == 2
            assert process.admin("PUT", "settings", {"share_delete_seconds": 0.5}) == {
                **shown,
                "share_delete_seconds": 0.5,
            }
            wrong: object
            for wrong in ({"no": 1}, {"accept_tokens": 1}, {"soft_delete_days": -1}, []):
                url = f"{process.url}/-/admin/settings"
                assert client.put(url, json=wrong).status_code == 400
    finally:
        assert process.stop() == (0, "")


def test_as_the_first_process_without_root():
    """A container runs the emulator as PID 1: signals still end it, and nobody else collects."""
    command = ["unshare", "--user", "--pid", "--fork", "--kill-child"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no new user and PID namespaces here: {tried.stderr.strip()}")
    program = "from azfuse.cli.emulator import emulator; emulator()"
    with subprocess.Popen(
        [*command, sys.executable, "-c", program, "--in-memory", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as outer:  # fmt: skip
        assert outer.stdout is not None
        url = outer.stdout.readline().split()[-1]
        raw = f"/{ACCOUNT}/"
        answer = httpx.get(
            f"{url}{raw}?comp=list", headers=signed("GET", raw, "comp=list"), trust_env=False
        )
        assert answer.status_code == 200
        inner = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        subprocess.run(["kill", f"-{signal.SIGTERM.value}", *inner], check=True)
        _, errors = outer.communicate(timeout=20)
        assert (outer.returncode, errors) == (0, "")

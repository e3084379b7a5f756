"""The command: options, exit codes, signals, durability, and what only a real server can do."""

import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from tests.emulator.conftest import Process
from tests.emulator.signing import ACCOUNT, signed


def run(*options, code=None):
    result = subprocess.run(
        [sys.executable, "-c", code or "from azfuse.cli.emulator import emulator; emulator()",
         *options],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return result.returncode, result.stdout, result.stderr


def call(url, method, path, query="", headers=(), body=b"", client=httpx):
    raw = f"/{ACCOUNT}{path}"
    return client.request(
        method, url + raw + ("?" + query if query else ""), content=body,
        headers=signed(method, raw, query, list(headers), body),
    )  # fmt: skip


def test_options_that_make_no_sense(tmp_path):
    assert run()[0] == 2
    status, _, errors = run("--in-memory", "--data", str(tmp_path))
    assert (status, errors.count("\n")) == (2, 1)
    status, _, errors = run("--in-memory", "--accounts", "name")
    assert (status, "not of the form name:key" in errors, errors.count("\n")) == (2, True, 1)
    assert run("--in-memory", "--accounts", "name:???")[0] == 2
    assert run("--in-memory", "--port", "99999")[0] == 2
    status, _, errors = run("--in-memory", "--port", "0", "--create-share", "Bad_Name")
    assert (status, "cannot make share 'Bad_Name'" in errors) == (2, True)
    status, _, errors = run("--in-memory", "--host", "192.0.2.1", "--port", "0")
    assert (status, "cannot listen" in errors) == (2, True)
    (tmp_path / "file").write_text("")
    status, _, errors = run("--data", str(tmp_path / "file" / "x"), "--port", "0")
    assert (status, "cannot use" in errors, errors.count("\n")) == (2, True, 1)


def test_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, output, errors = run("--in-memory", "--port", str(port))
    assert (status, output) == (2, "")
    assert errors == f"azfuse emulator: port {port} on 127.0.0.1 is in use by another program\n"


def test_missing_extra():
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from azfuse.cli.emulator import emulator; emulator()"
    )
    status, _, errors = run("--in-memory", code=code)
    assert (status, errors.count("\n")) == (1, 1)
    assert "pip install 'azfuse[emulator]'" in errors


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(signum):
    process = Process("--in-memory", "--create-share", "one", "--create-share", "two")
    listed = call(process.url, "GET", "/", "comp=list")
    assert "<Name>one</Name>" in listed.text
    assert "<Name>two</Name>" in listed.text
    process.process.send_signal(signum)
    output, errors = process.process.communicate(timeout=20)
    assert (process.process.returncode, output, errors) == (0, "", "")


def test_accounts_and_connection_strings():
    process = Process("--in-memory", "--accounts", "one:AAAA,two:BBBB")
    assert process.connection_string == (
        "DefaultEndpointsProtocol=http;AccountName=one;AccountKey=AAAA;"
        f"FileEndpoint={process.url}/one;"
    )
    output = process.process.stdout
    assert output is not None
    assert "AccountName=two;" in output.readline()
    assert process.stop() == (0, "")


def test_metadata_keeps_its_letter_case_on_the_wire(emulator):
    call(emulator.url, "PUT", "/letters", "restype=share")
    headers = [("x-ms-type", "file"), ("x-ms-content-length", "0"), ("x-ms-meta-UPPER", "1"),
               ("X-MS-META-Capital", "2")]  # fmt: skip
    assert call(emulator.url, "PUT", "/letters/a", headers=headers).status_code == 201
    answer = call(emulator.url, "HEAD", "/letters/a")
    names = [n.decode() for n, _ in answer.headers.raw if n.lower().startswith(b"x-ms-meta")]
    assert names == ["x-ms-meta-UPPER", "x-ms-meta-Capital"]


def test_what_was_answered_survives_kill(tmp_path):
    """Kill the emulator in the midst of writes: everything that was answered is there again."""
    process = Process("--data", str(tmp_path / "data"))
    call(process.url, "PUT", "/share", "restype=share")
    answered: list[dict[str, bytes | None]] = [{} for _ in range(4)]
    enough = threading.Event()

    def work(number):
        with httpx.Client(trust_env=False) as client:
            for turn in range(10_000):
                body = f"{number}-{turn}".encode() * (1 + turn % 3 * 9000)
                headers = [("x-ms-type", "file"), ("x-ms-content-length", str(len(body)))]
                name = f"f{number}-{turn}"
                try:
                    answer = call(process.url, "PUT", f"/share/{name}", "", headers, body, client)
                    if answer.status_code != 201:
                        return
                    answered[number][name] = body
                    if turn % 5 == 4:
                        gone = f"f{number}-{turn - 2}"
                        call(process.url, "DELETE", f"/share/{gone}", client=client)
                        answered[number][gone] = None
                except httpx.HTTPError:
                    return
                if turn == 40:
                    enough.set()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    process.kill()
    for thread in threads:
        thread.join()
    process = Process("--data", str(tmp_path / "data"))
    count = 0
    with httpx.Client(trust_env=False) as client:
        for one in answered:
            # The last change may have been made without being answered.
            for name, body in list(one.items()):
                answer = call(process.url, "GET", f"/share/{name}", client=client)
                if body is None:
                    assert answer.status_code == 404, name
                elif answer.status_code != 404 or name not in _last_deleted(one):
                    assert (answer.status_code, answer.content) == (200, body), name
                    count += 1
    assert count > 100
    assert process.stop() == (0, "")


def _last_deleted(one):
    """Return the names whose deletion may have happened without an answer."""
    turns = sorted(int(name.partition("-")[2]) for name in one)
    prefix = next(iter(one)).partition("-")[0]
    return {f"{prefix}-{turns[-1] - 2}"}


def test_resets_cut_and_stalled_bodies(emulator):
    call(emulator.url, "PUT", "/faulty", "restype=share")
    size = 3_000_000
    headers = [("x-ms-type", "file"), ("x-ms-content-length", str(size))]
    call(emulator.url, "PUT", "/faulty/a", headers=headers)
    rule = {"operation": "GetFile", "times": 1}
    emulator.admin("PUT", "faults", {"rules": [{**rule, "action": "reset-before"}]})
    with pytest.raises(httpx.ReadError):
        call(emulator.url, "GET", "/faulty/a")
    emulator.admin("PUT", "faults", {"rules": [{**rule, "action": "cut", "bytes": 1_500_000}]})
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        call(emulator.url, "GET", "/faulty/a")
    stall = {**rule, "action": "stall", "bytes": 10, "seconds": 60}
    emulator.admin("PUT", "faults", {"rules": [stall]})
    with httpx.Client(trust_env=False, timeout=0.5) as client, pytest.raises(httpx.ReadTimeout):
        call(emulator.url, "GET", "/faulty/a", client=client)
    stall["seconds"] = 0.1
    emulator.admin("PUT", "faults", {"rules": [stall]})
    assert call(emulator.url, "GET", "/faulty/a").content == bytes(size)
    emulator.admin("DELETE", "faults")
    log = emulator.admin("GET", "requests")["operations"]["GetFile"]["by_status"]
    assert log["0"] >= 3


def test_reading_from_two_connections_at_once(emulator):
    """Large transfers leave the loop free: a small request is answered meanwhile."""
    call(emulator.url, "PUT", "/parallel", "restype=share")
    size = 64 * 1024 * 1024
    headers = [("x-ms-type", "file"), ("x-ms-content-length", str(size))]
    call(emulator.url, "PUT", "/parallel/a", headers=headers)
    with httpx.Client(trust_env=False) as client:
        raw = f"/{ACCOUNT}/parallel/a"
        with client.stream("GET", emulator.url + raw, headers=signed("GET", raw)) as answer:
            assert answer.status_code == 200
            assert call(emulator.url, "HEAD", "/parallel/a").headers["content-length"] == str(size)
            assert sum(len(piece) for piece in answer.iter_raw()) == size

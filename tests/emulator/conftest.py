"""An emulator in process, and one in a process of its own."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import httpx
import pytest

from azfuse.emulator.setup import build
from tests.emulator.signing import ACCOUNT, KEY, VERSION, signed


class Client:
    """Signed requests to an emulator in this process, path style."""

    def __init__(self, app, http):
        self.app = app
        self.http = http

    async def __call__(
        self, method, path, query="", headers=None, body=b"", version=VERSION, sign=True
    ):
        raw = f"/{ACCOUNT}{path}"
        headers = list((headers or {}).items())
        sent = (
            signed(method, raw, query, headers, body, version)
            if sign
            else [("x-ms-version", version), *headers, ("Content-Length", str(len(body)))]
        )
        url = httpx.URL(
            scheme="http",
            host="localhost",
            raw_path=(raw + ("?" + query if query else "")).encode(),
        )
        return await self.http.request(
            method, url, headers=[(n.encode(), v.encode("latin-1")) for n, v in sent], content=body
        )

    async def share(self, name="share", **headers):
        answer = await self("PUT", f"/{name}", "restype=share", headers)
        assert answer.status_code == 201, answer.text

    async def file(self, path, size=0, body=None, **more):
        headers = {"x-ms-type": "file", "x-ms-content-length": str(size), **more}
        answer = await self("PUT", path, headers=headers)
        assert answer.status_code == 201, answer.text
        if body is not None:
            await self.put(path, 0, body)
        return answer

    async def put(self, path, offset, body, status=201, **more):
        headers = {
            "x-ms-write": "update",
            "x-ms-range": f"bytes={offset}-{offset + len(body) - 1}",
            **more,
        }
        answer = await self("PUT", path, "comp=range", headers, body)
        assert answer.status_code == status, answer.text
        return answer

    async def clear(self, path, first, last):
        headers = {"x-ms-write": "clear", "x-ms-range": f"bytes={first}-{last}"}
        answer = await self("PUT", path, "comp=range", headers)
        assert answer.status_code == 201, answer.text
        return answer

    async def ranges(self, path, query="comp=rangelist"):
        answer = await self("GET", path, query)
        assert answer.status_code == 200, answer.text
        root = xml(answer)
        found = [(int(r.findtext("Start")), int(r.findtext("End"))) for r in root.iter("Range")]
        marker = root.findtext("NextMarker")
        if marker:
            found += await self.ranges(path, query.partition("&marker")[0] + f"&marker={marker}")
        return found

    async def names(self, path, query=""):
        """Return the names of a directory, page by page."""
        names, marker = [], ""
        while True:
            more = f"&marker={marker}" if marker else ""
            answer = await self("GET", path, f"restype=directory&comp=list{query}{more}")
            assert answer.status_code == 200, answer.text
            root = xml(answer)
            names += [entry.findtext("Name") for entry in root.find("Entries")]
            marker = root.findtext("NextMarker")
            if not marker:
                return names


def xml(answer):
    """Parse the body of an answer; it must begin with the byte order mark."""
    assert answer.content.startswith(b"\xef\xbb\xbf<?xml")
    return ET.fromstring(answer.content)


def code(answer):
    """Return status and error code of an answer."""
    return answer.status_code, answer.headers.get("x-ms-error-code")


@pytest.fixture
def app():
    app = build(None, {ACCOUNT: KEY})
    yield app
    app.service.store.close()


@pytest.fixture
async def client(app):
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        yield Client(app, http)


class Process:
    """`azfuse emulator` as a program of its own."""

    def __init__(self, *options):
        command = [sys.executable, "-c", "from azfuse.cli.emulator import emulator; emulator()"]
        self.process = subprocess.Popen(
            [*command, "--port", "0", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        output = self.process.stdout
        assert output is not None
        first = output.readline()
        if not first:
            _, errors = self.process.communicate(timeout=10)
            raise RuntimeError(f"the emulator did not start: {errors}")
        self.url = first.split()[-1]
        self.connection_string = output.readline().strip()

    def admin(self, method, path, settings=None):
        answer = httpx.request(
            method, f"{self.url}/-/admin/{path}", trust_env=False,
            content=json.dumps(settings) if settings is not None else None,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        return answer.json()

    def make_share(self, name):
        raw = f"/{ACCOUNT}/{name}"
        answer = httpx.put(
            f"{self.url}{raw}?restype=share", headers=signed("PUT", raw, "restype=share"),
            trust_env=False,
        )  # fmt: skip
        assert answer.status_code == 201, answer.text

    def stop(self):
        self.process.terminate()
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=20)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    """One emulator on disk for all tests that need no other."""
    process = Process("--data", str(tmp_path_factory.mktemp("emulator")))
    yield process
    assert process.stop() == (0, "")

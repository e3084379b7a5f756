"""A service that answers every request alike: what a mount meets at first contact."""

import contextlib
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EMPTY_LISTING = (
    '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="x" '
    'ShareName="share" DirectoryPath=""><DirectoryId>1</DirectoryId><Entries />'
    "<NextMarker /></EnumerationResults>"
)


@dataclass
class Answer:
    """What is answered; `requests` collects method and path of what was asked."""

    status: int = 200
    code: str = ""
    message: str = ""
    detail: str = ""
    date: str | None = None
    requests: list[str] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        if self.status == 200:
            return EMPTY_LISTING.encode()
        detail = f"<AuthenticationErrorDetail>{self.detail}</AuthenticationErrorDetail>"
        return (
            f"<?xml version='1.0' encoding='utf-8'?><Error><Code>{self.code}</Code>"
            f"<Message>{self.message}</Message>{detail if self.detail else ''}</Error>"
        ).encode()


class _Server(ThreadingHTTPServer):
    """Says nothing of clients that go away: who looks whether somebody listens does."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def serve(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve *answer* and yield the endpoint of account `acct`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer.requests.append(f"{self.command} {self.path}")
            self.send_response_only(answer.status)
            self.send_header("Date", answer.date or self.date_time_string())
            self.send_header("x-ms-request-id", "r")
            self.send_header("x-ms-version", "2025-05-05")
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name there
            del format, args

    with _Server(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/acct"
        finally:
            server.shutdown()
            thread.join()

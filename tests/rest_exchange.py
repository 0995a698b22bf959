"""A small HTTP server that answers what a test tells it to."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    form: dict[str, list[str]]


@dataclass
class Answer:
    """What the server says: a status, a body, and its type (None sends no such header)."""

    status: int = 200
    body: bytes = b'{"status":"success","data":{}}'
    content_type: str | None = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def success(data: object) -> Answer:
    return Answer(body=json.dumps({"status": "success", "data": data}).encode())


def refusal(status: int, error_type: str, message: str) -> Answer:
    return Answer(status, json.dumps({"status": "error", "message": message, "error_type": error_type}).encode())


class RestExchange:
    """The server on its own thread; `answer` is repeated for every request."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.requests: list[Request] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                parts = urlsplit(self.path)
                form = parse_qs(self.rfile.read(length).decode())
                outer.requests.append(
                    Request(self.command, parts.path, parse_qs(parts.query), dict(self.headers), form)
                )
                answer = outer.answer
                self.send_response(answer.status)
                if answer.content_type is not None:
                    self.send_header("Content-Type", answer.content_type)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_POST = do_DELETE = do_GET

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

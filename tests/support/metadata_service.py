"""A fake of EC2's instance metadata service, on this machine: token, life cycle, and the spot notice."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOTICE = '{"action": "terminate", "time": "2026-11-24T20:00:00Z"}'


class MetadataService:
    """Answers as AWS documents for IMDSv2 while it is entered. `asked` holds what was asked for with a token."""

    def __init__(self, life_cycle: str = "spot") -> None:
        self.life_cycle = life_cycle
        self.token = "first"
        self.notice: str | None = None
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> MetadataService:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str, token: str | None) -> tuple[int, str]:
        if token != self.token:
            return 401, ""
        self.asked.append(path)
        if path == "/latest/meta-data/instance-life-cycle":
            return 200, self.life_cycle
        if path == "/latest/meta-data/spot/instance-action" and self.notice:
            return 200, self.notice
        return 404, ""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            server_version = "a fake of EC2's metadata service"

            def do_PUT(self) -> None:
                allowed = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
                self._send(200 if allowed else 400, service.token)

            def do_GET(self) -> None:
                self._send(*service._answer(self.path, self.headers["X-aws-ec2-metadata-token"]))

            def log_message(self, format: str, *args: object) -> None:
                pass

            def _send(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

        return Handler

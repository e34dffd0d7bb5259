"""Stands in for the wandb service, which cannot be had in a test: it takes runs in, until it is told to be gone."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RUN = {"id": "run", "displayName": "run", "config": "{}", "historyLineCount": 0}
PROJECT = {"id": "project", "name": "galactica-sweeps", "entity": {"id": "entity", "name": "somebody"}}


def answer_to(query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """What the service's GraphQL would say; nothing to what a run can do without."""
    if "mutation UpsertBucket" in query:
        bucket = RUN | {"name": variables["name"], "project": PROJECT}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}
    if "mutation CreateRunFiles" in query:
        return {"createRunFiles": {"runID": "run", "uploadHeaders": [], "files": []}}
    return {}


class WandbService(ThreadingHTTPServer):
    """Answers what wandb 0.31 asks while a run begins and goes on. `posted` are the requests that had an answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.is_gone = False
        self.posted: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def go(self) -> None:
        """Answer nothing any more, on connections that are open neither."""
        self.is_gone = True
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that died in mid-request: tests read what the program says on the same stream."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/graphql":
            return self._answer({})
        asked = json.loads(body)
        return self._answer({"data": answer_to(asked["query"], asked.get("variables") or {})})

    def _answer(self, document: dict[str, Any]) -> None:
        service = self.server
        assert isinstance(service, WandbService)
        self.close_connection = service.is_gone
        if service.is_gone:
            return
        service.posted.append(self.path)
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

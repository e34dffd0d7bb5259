"""An S3 store on this machine, by moto, that can be told to answer 503 as a busy or broken one does."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from moto.server import ThreadedMotoServer

SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"


class ObjectStore:
    """Serves the bucket `bucket` while it is entered; `asked` counts requests, `refused` those answered with 503."""

    def __init__(self) -> None:
        self.asked = self.refused = 0
        self._busy_until = 0.0
        self._server = ThreadedMotoServer(port=0)

    def __enter__(self) -> ObjectStore:
        self._server.start()
        server: Any = self._server._server
        server.app = self._or_busy(server.app)
        self._ask("POST", "moto-api/reset")  # moto keeps one memory for all servers of a process
        self._ask("PUT", "bucket")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Stop serving; what was stored is gone."""
        self._server.stop()

    @property
    def address(self) -> str:
        """The URL that stands for AWS's own."""
        host, port = self._server.get_host_and_port()
        return f"http://{host}:{port}"

    @property
    def environment(self) -> dict[str, str]:
        """What points programs at this store instead of AWS."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def uri(self, path: str) -> str:
        """The address of a folder in the bucket that names this store itself, for programs without its environment."""
        host, port = self._server.get_host_and_port()
        return f"s3://bucket/{path}?region=us-east-1&scheme=http&endpoint_override={host}:{port}"

    def refuse_for(self, seconds: float) -> None:
        """From now on and for so long, answer 503 to every request."""
        self._busy_until = time.monotonic() + seconds

    def _ask(self, method: str, path: str) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.address}/{path}", method=method)).close()

    def _or_busy(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            self.asked += 1
            if time.monotonic() < self._busy_until:
                self.refused += 1
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start_response("503 Slow Down", [("Content-Type", "application/xml"), ("Connection", "close")])
                return [SLOW_DOWN]
            return app(environ, start_response)

        return answer

"""A tunnel to a port of this machine that can be cut and restored, as one over ssh when a laptop sleeps."""

from __future__ import annotations

import contextlib
import socket
import threading


class Tunnel:
    """Carries what comes to `address` to `target_port`, while it is not cut."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._listener = self._listen(0)
        self._port: int = self._listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        """End every connection at once, and take no other."""
        _shut(self._listener)
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            _shut(end)

    def restore(self) -> None:
        """Take connections again, on the same port."""
        self._listener = self._listen(self._port)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target_port))
                with self._lock:
                    self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(1 << 16):
            sink.sendall(part)
    _shut(source)
    _shut(sink)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()

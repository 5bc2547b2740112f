"""A loopback port inside the sandbox that leads to the gateway's socket, and the question how much was used so far.

The sandbox has no network but its own loopback; tools speak HTTP to a port and not to a socket file.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from dataclasses import dataclass

_ANSWER_SECONDS = 3.0


@dataclass(frozen=True)
class Counts:
    """What the gateway has counted so far."""

    requests: int = 0
    tokens: int = 0
    cost_usd: float = 0.0

    def minus(self, other: Counts) -> Counts:
        """What came since `other`."""
        return Counts(
            self.requests - other.requests, self.tokens - other.tokens, round(self.cost_usd - other.cost_usd, 8)
        )


def open_bridge(path: str) -> str:
    """Address of a loopback port that hands every connection to the UNIX socket at `path`, until this process ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, path), daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


def read_counts(address: str) -> Counts | None:
    """What the gateway at `http://HOST:PORT[/WORD]` or `unix:PATH` has counted; None while it gives no answer."""
    is_socket = address.startswith("unix:")
    place, _, word = (address.removeprefix("unix:"), "", "") if is_socket else address[7:].partition("/")
    kind = _SocketConnection if is_socket else http.client.HTTPConnection
    connection = kind(place, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", f"/{word}/usage" if word else "/usage")
        found = json.loads(connection.getresponse().read(10_000))
        return Counts(int(found["requests"]), int(found["tokens"]), float(found["cost_usd"]))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()


def _accept(listener: socket.socket, path: str) -> None:
    while True:
        inside, _ = listener.accept()
        outside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            outside.connect(path)
        except OSError:
            inside.close()
            outside.close()
            continue
        for source, target in ((inside, outside), (outside, inside)):
            threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(65_536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, target):
            _shut(end)


def _shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was faster

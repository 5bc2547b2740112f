"""A read-only git remote on loopback with one small repository: what a drill fixes."""

from __future__ import annotations

import os
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from soulcaster.errors import PermanentError

NAME = "drill/notes"
FILES = {
    "notes.py": "def total(rows):\n    if len(rows) > 1:\n        rows = rows[1:]\n    return sum(rows)\n",
    "tests/test_notes.py": "from notes import total\n\n\ndef test_one():\n    assert total([5]) == 5\n",
    "run.sh": "#!/bin/sh\nexec python -c 'import notes'\n",
    "README.md": "# Notes\n",
}
_SECONDS = 60


@contextmanager
def running_remote(folder: Path, name: str = NAME, files: Mapping[str, str] = FILES) -> Iterator[str]:
    """Address of the repository for git, while the block lasts; every text of it ends with a line end.

    Raises:
        PermanentError: git is not there or cannot serve over HTTP.
    """
    bare = folder / f"{name}.git"
    bare.mkdir(parents=True)
    _git(bare, ["init", "--quiet", "--bare", "--initial-branch=main"])
    _git(bare, ["fast-import", "--quiet"], _stream(files))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(folder))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{name}.git"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Listener(socketserver.ThreadingTCPServer):
    """A port that nobody should reach; counts those who do."""

    daemon_threads = True
    n_reached = 0

    def verify_request(self, request: object, client_address: object) -> bool:
        """Count, and hang up."""
        del request, client_address
        self.n_reached += 1
        return False


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener on a free loopback port."""
    with Listener(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


def _stream(files: Mapping[str, str]) -> bytes:
    """The first commit for fast-import."""
    lines = ["commit refs/heads/main", "committer Drill <drill@soulcaster.invalid> 1767225600 +0000", "data 5", "Start"]
    for path, text in files.items():
        mode = "100755" if path.endswith(".sh") else "100644"
        lines += [f"M {mode} inline {path}", f"data {len(text.encode())}", text.rstrip("\n"), ""]
    return ("\n".join(lines) + "\n").encode()


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "LC_ALL": "C",
    }


def _git(bare: Path, words: list[str], stdin: bytes = b"") -> None:
    if shutil.which("git") is None:
        raise PermanentError("The drill needs git: expected it on PATH, found none; install it.")
    done = subprocess.run(
        ["git", *words], cwd=bare, input=stdin, capture_output=True, check=False, env=_environment(), timeout=_SECONDS
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[:300]
        raise PermanentError(f"Making the drill's repository failed: git {words[0]} says {said!r}.")


def _make_handler(root: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            environment = _environment() | {
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": parts.path,
                "QUERY_STRING": parts.query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            done = subprocess.run(
                ["git", "http-backend"], input=body, capture_output=True, check=False, env=environment, timeout=_SECONDS
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815  the parent's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the parent's name
            """Say nothing."""

    return Handler

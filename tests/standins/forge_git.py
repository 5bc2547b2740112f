"""Git's smart HTTP over the forge's bare repositories, by git itself."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from standins.forge_rights import find_token, may, sees
from standins.wire_server import Answer, Request

if TYPE_CHECKING:
    from standins.forge import Forge


def serve_git(forge: Forge, request: Request, name: str, path: str) -> Answer:
    """What git's own backend answers, for a token that may."""
    from standins.forge import plain_environment

    token = find_token(forge, request)
    if token is None:
        return Answer(401, raw=b"", headers={"WWW-Authenticate": 'Basic realm="GitHub"', "Content-Type": "text/plain"})
    is_push = "git-receive-pack" in (request.first("service"), path.strip("/"))
    if not forge.bare(name).is_dir() or not sees(token, name):
        return Answer(404, raw=b"Repository not found.", headers={"Content-Type": "text/plain"})
    if not may(token, "contents", "write" if is_push else "read"):
        return Answer(403, raw=b"Write access to repository not granted.", headers={"Content-Type": "text/plain"})
    if path == "/git-receive-pack":
        forge.pushes.append((name, token.login))
    environment = plain_environment() | {
        "GIT_PROJECT_ROOT": str(forge.folder), "GIT_HTTP_EXPORT_ALL": "1", "REMOTE_USER": token.login,
        "PATH_INFO": f"/{name}.git{path}", "REQUEST_METHOD": request.method, "REMOTE_ADDR": "127.0.0.1",
        "QUERY_STRING": urlencode({key: values[0] for key, values in request.query.items()}),
        "CONTENT_TYPE": request.headers.get("content-type", ""), "CONTENT_LENGTH": str(len(request.body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
    }  # fmt: skip
    done = subprocess.run(
        ["git", "http-backend"], input=request.body, capture_output=True, check=False, env=environment
    )
    if done.returncode:
        sys.stderr.write(done.stderr.decode(errors="replace"))
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
    status = int(headers.pop("Status", "200").split()[0])
    return Answer(status, raw=body, headers=headers)

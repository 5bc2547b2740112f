"""Git as a machine runs it: no configuration but ours, no question, no hook, the token only in the environment.

What the remote side sends is data: it is fetched into a bare repository and read as objects, never checked out.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from soulcaster.errors import PermanentError, SoulcasterError, TransientError
from soulcaster.fix_models import Repository
from soulcaster.publisher.api import Credentials, check_address

TIMEOUT_SECONDS = 600.0
_PASSED_ON = ("PATH", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "GIT_SSL_CAINFO")
_PASSING = re.compile(
    r"returned error: (?:429|5\d\d)|could not resolve host|failed to connect|couldn't connect|connection (?:was )?reset"
    r"|timed? ?out|early eof|unexpected disconnect|rpc failed|empty reply|hung up|recv failure|ssl_error|gnutls",
    re.IGNORECASE,
)


class Cache(NamedTuple):
    """The bare repository kept for one remote, held by this process and its children alone."""

    name: str
    folder: Path
    clone_url: str
    lock: int


class Done(NamedTuple):
    """What a command said."""

    code: int
    out: bytes
    complaint: str


def find_clone_url(repository: Repository) -> str:
    """Address for git.

    Raises:
        PermanentError: none is configured and the API is not GitHub's, or a token must not be sent there.
    """
    given = repository.clone_url
    if not given:
        if repository.api_url.rstrip("/") != "https://api.github.com":
            raise PermanentError(
                f"Finding the clone address of {repository.name!r} failed: expected clone_url beside api_url "
                f"{repository.api_url!r}, got none; add it to the repository."
            )
        given = f"https://github.com/{repository.name}.git"
    return check_address(given, "the clone address")


@contextmanager
def locked(cache: Path, repository: Repository, *, timeout_seconds: float = 60.0) -> Iterator[Cache]:
    """The bare repository kept for this remote, made when absent; other processes wait.

    The lock goes on to every git that is started: should this process be killed, the next one waits for its children
    too, and only then clears away what they left locked.

    Raises:
        TransientError: somebody held it for longer than `timeout_seconds`.
        PermanentError: the folder cannot be written, or the clone address is none.
    """
    url = find_clone_url(repository)
    stem = f"{repository.name.replace('/', '__')}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    folder = cache / f"{stem}.git"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(cache / f"{stem}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PermanentError(
            f"Locking the copy of {repository.name!r} failed: {error.strerror}; check the folder {str(cache)!r}."
        ) from error
    try:
        _wait(lock, repository.name, timeout_seconds)
        for left in folder.rglob("*.lock"):
            left.unlink(missing_ok=True)
        held = Cache(repository.name, folder.resolve(), url, lock)
        run(held, ["init", "--quiet", "--bare", "--template=", "--initial-branch=none"], what="making the copy")
        yield held
    finally:
        os.close(lock)


def _wait(lock: int, name: str, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TransientError(
                    f"The copy of {name!r} is busy with another Soulcaster process: expected it within "
                    f"{timeout_seconds:g} s; it is tried again."
                ) from None
            time.sleep(0.02)


def run(
    cache: Cache,
    words: Sequence[str],
    *,
    what: str,
    credentials: Credentials | None = None,
    stdin: bytes = b"",
    more: Mapping[str, str] | None = None,
) -> bytes:
    """Output of a git command.

    Args:
        cache: the repository it runs on.
        words: command and arguments.
        what: what is done, for the sentence of an error.
        credentials: given only to commands that talk to the remote.
        stdin: bytes for its standard input.
        more: further variables.

    Raises:
        TransientError: the remote is away or busy, or it took longer than ten minutes.
        PermanentError: git refused; says what git or the remote said.
    """
    done = attempt(cache, words, what=what, credentials=credentials, stdin=stdin, more=more)
    if done.code:
        raise refusal(cache, done, what)
    return done.out


def attempt(
    cache: Cache,
    words: Sequence[str],
    *,
    what: str,
    credentials: Credentials | None = None,
    stdin: bytes = b"",
    more: Mapping[str, str] | None = None,
) -> Done:
    """As `run`, for commands whose refusal is an answer: nothing is raised but for the time-out."""
    with start(cache, words, credentials=credentials, more=more) as process:
        try:
            out, complaint = process.communicate(stdin, timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise TransientError(
                f"Git for {cache.name!r} was ended: {what} took longer than {TIMEOUT_SECONDS:g} s; it is tried again."
            ) from error
    return Done(process.returncode, out, _defused(complaint, credentials))


@contextmanager
def start(
    cache: Cache,
    words: Sequence[str],
    *,
    credentials: Credentials | None = None,
    more: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A running git with three pipes; it and its children are ended with the block."""
    process = subprocess.Popen(
        ["git", *words],
        cwd=cache.folder,
        env=_environment(cache, credentials) | dict(more or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(cache.lock,),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()


def refusal(cache: Cache, done: Done, what: str) -> SoulcasterError:
    """The error for a git that failed."""
    said = " ".join(done.complaint.split())[-400:] or f"exit code {done.code}"
    if _PASSING.search(done.complaint):
        return TransientError(f"Git for {cache.name!r} failed at {what}: {said!r}; it is tried again.")
    if re.search(r"could not read Username|Authentication failed|error: 401", done.complaint):
        todo = "the token is wrong or has expired; put a new one into the variable the repository names"
    elif re.search(r"error: 403|Write access to repository not granted", done.complaint):
        todo = "the token needs read and write access to contents of this repository"
    elif re.search(r"repository '.*' not found|error: 404|Repository not found", done.complaint):
        todo = "there is no such repository, or the token may not see it"
    else:
        todo = "see what git says"
    return PermanentError(f"Git for {cache.name!r} failed at {what}: {todo}: {said!r}.")


def _environment(cache: Cache, credentials: Credentials | None) -> dict[str, str]:
    pairs = [
        ("core.hooksPath", os.devnull),
        ("core.fsmonitor", "false"),
        ("credential.helper", ""),
        ("http.followRedirects", "false"),
        ("http.lowSpeedLimit", "1000"),
        ("http.lowSpeedTime", "60"),
        ("protocol.allow", "never"),
        ("protocol.https.allow", "always"),
        ("gc.auto", "0"),
        ("maintenance.auto", "false"),
        ("fetch.recurseSubmodules", "false"),
        ("push.recurseSubmodules", "no"),
        ("push.gpgSign", "false"),
        ("commit.gpgSign", "false"),
    ]
    if urlsplit(cache.clone_url).scheme == "http":  # `check_address` let only loopback pass
        pairs.append(("protocol.http.allow", "always"))
    if credentials is not None:
        basic = base64.b64encode(f"x-access-token:{credentials.token.get_secret_value()}".encode()).decode()
        pairs.append((f"http.{cache.clone_url}.extraHeader", f"Authorization: Basic {basic}"))
    numbered = {
        name: text
        for i, (key, value) in enumerate(pairs)
        for name, text in ((f"GIT_CONFIG_KEY_{i}", key), (f"GIT_CONFIG_VALUE_{i}", value))
    }
    return {
        **{name: value for name in _PASSED_ON if (value := os.environ.get(name))},
        **numbered,
        "GIT_CONFIG_COUNT": str(len(pairs)),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_DIR": str(cache.folder),
        "HOME": str(cache.folder),
        "LC_ALL": "C",
    }


def _defused(complaint: bytes, credentials: Credentials | None) -> str:
    """What git said, without the token, should a server send it back."""
    text = complaint.decode(errors="replace")
    return text.replace(credentials.token.get_secret_value(), "(token)") if credentials else text

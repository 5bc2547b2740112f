"""`soulcaster up`: the whole product on one machine, started together and ended together.

Starts the Prefect server (SQLite), a process worker, the app and the receiver as child processes, applies
`prefect.yaml`, fills an empty store from the sample through a real flow run; ends everything it started with itself.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pydantic import SecretStr

from soulcaster import children, db, prefect_api, sign_in
from soulcaster.children import Family
from soulcaster.db.screens import get_overview
from soulcaster.errors import PermanentError, TransientError
from soulcaster.export import list_clusters
from soulcaster.models import Source
from soulcaster.prefect_api import RunState
from soulcaster.settings import Settings, check_doors, is_loopback

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent
_START_SECONDS = 180.0
"""Longest wait for a part: the first start of the server builds its database, 11 s alone, 35 s on a crowded machine."""

_PICK_UP_SECONDS = 180.0
_POLL_SECONDS = 0.5
_TASK_ENDS = {"Completed", "Failed", "Crashed", "TimedOut"}
_TOP_CLUSTERS = 15
_REFRESH = "refresh/refresh"

Echo = Callable[[str], object]


def up(
    settings: Settings,
    *,
    once: bool = False,
    file: Path | None = None,
    source: Source = "manual",
    echo: Echo = print,
) -> None:
    """Run until Ctrl-C, or with `once` until the clusters are printed. Nothing it started outlives it.

    A `file` is always imported; without one the sample is, when the project has no items yet.

    Raises:
        PermanentError: a second `up` on the same home, a taken port, a missing file, a child that ended, a failed run.
        KeyboardInterrupt: ended before it was done with what it was asked for.
    """
    settings = settings.model_copy(update={"home": settings.home.resolve()})
    check_doors(settings)
    if file is not None:
        file = _checked(file)
    if not (ROOT / "prefect.yaml").is_file():
        raise PermanentError(f"Starting needs prefect.yaml in {str(ROOT)!r}; run `soulcaster up` from a git checkout.")
    with _alone(settings), _ended_by_signals():
        _check_ports(settings)
        db.migrate(settings.duckdb_path, timeout_seconds=settings.lock_timeout_seconds)
        with children.family(settings.logs_path, ROOT, _environment(settings)) as members:
            _start_all(settings, members, echo)
            _first_run(settings, members, file, source, echo)
            if once:
                _print_clusters(settings, echo)
                return
            _print_addresses(settings, echo)
            _watch(members, echo)


def _start_all(settings: Settings, members: Family, echo: Echo) -> None:
    """All four parts answer, and the deployments are applied."""
    python, host = sys.executable, settings.host
    begun = time.monotonic()

    def ready(what: str) -> None:
        echo(f"  {what:<16} ready after {time.monotonic() - begun:4.0f} s")

    echo(f"Starting Soulcaster in {settings.home} (the first start takes longest) ...")
    server = [
        python,
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        _prefect_host(settings),
        "--port",
        str(settings.prefect_port),
    ]
    children.start(members, "prefect-server", server)
    receiver = [python, "-m", "uvicorn", "--factory", "app.webhook:make_app", "--no-access-log"]
    children.start(members, "receiver", [*receiver, "--host", host, "--port", str(settings.receiver_port)])
    app = [python, "-m", "streamlit", "run", "app/main.py", "--server.headless", "true"]
    app += ["--browser.gatherUsageStats", "false", "--server.address", host, "--server.port", str(settings.app_port)]
    app += sign_in.prepare(settings)
    children.start(members, "app", app)

    _wait_for(members, "receiver", _url(settings, settings.receiver_port) + "/health")
    ready("receiver")
    echo("  waiting for the prefect server (the first time it builds its database: 10 s, or 40 s on a busy machine)")
    _wait_for(members, "prefect-server", _api_url(settings) + "/health")
    ready("prefect server")
    with prefect_api.connect(_api_url(settings)) as client:
        left = prefect_api.tidy_after_restart(client)
    if left:
        echo(f"  {left} run(s) that the last session left behind were marked crashed")
    children.run_to_end(members, "setup", [python, "infra/prefect/setup.py"], timeout_seconds=_START_SECONDS)
    worker = [python, "-m", "prefect", "worker", "start", "--pool", "soulcaster", "--type", "process"]
    children.start(members, "worker", [*worker, "--name", f"up-{os.getpid()}"])
    _deploy_if_changed(settings, members)
    ready("deployments")
    _wait_for(members, "app", _url(settings, settings.app_port) + "/_stcore/health")
    ready("app")


def _deploy_if_changed(settings: Settings, members: Family) -> None:
    """Apply prefect.yaml, but not over a server that has it already: a schedule that a person paused stays paused."""
    files = [ROOT / "prefect.yaml", *sorted((ROOT / "flows").glob("*.py"))]
    digest = hashlib.sha256(b"\0".join([str(ROOT).encode(), *(file.read_bytes() for file in files)])).hexdigest()
    stamp = settings.home / "prefect" / "deployed"
    with prefect_api.connect(_api_url(settings)) as client:
        is_known = prefect_api.ask(client, "GET", f"/deployments/name/{_REFRESH}") is not None
    if is_known and stamp.exists() and stamp.read_text() == digest:
        return
    deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    children.run_to_end(members, "deploy", deploy, timeout_seconds=_START_SECONDS)
    stamp.write_text(digest)


def _first_run(settings: Settings, members: Family, file: Path | None, source: Source, echo: Echo) -> None:
    """A `refresh` run with the file, or with the sample when the project is empty; nothing otherwise."""
    overview = db.read(
        settings.duckdb_path,
        lambda con: get_overview(con, settings.project),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    if file is None and overview.n_items:
        return
    params = {
        "project": settings.project,
        "sample": file is None,
        "path": str(file) if file else None,
        "source": source,
    }
    with prefect_api.connect(_api_url(settings)) as client:
        run_id = prefect_api.start_run(client, _REFRESH, {"params": params})
    page = f"{_prefect_url(settings)}/runs/flow-run/{run_id}"
    echo(f"Running the pipeline on {file or 'the bundled sample'}: {page}")
    begun = time.monotonic()
    run = _follow(settings, members, run_id, page, echo)
    if run.type != "COMPLETED":
        raise PermanentError(f"The pipeline ended as {run.state}: {run.message} Its page was {page}.")
    echo(f"  pipeline completed in {time.monotonic() - begun:.0f} s")


def _follow(settings: Settings, members: Family, run_id: str, page: str, echo: Echo) -> RunState:
    """The final state of a run, telling its finished tasks on the way. A server too busy to answer is asked again."""
    begun = time.monotonic()
    n_told = 0
    while True:
        children.check_alive(members)
        try:
            with prefect_api.connect(_api_url(settings)) as client:
                run = prefect_api.get_run(client, run_id)
        except TransientError as error:
            logger.warning("%s", error)
            time.sleep(_POLL_SECONDS)
            continue
        finished = [(name, state, seconds) for name, state, seconds in run.tasks if state in _TASK_ENDS]
        for name, state, seconds in finished[n_told:]:
            echo(f"  {name:<16} {state.lower()} in {seconds:4.1f} s")
        n_told = len(finished)
        if run.is_final:
            return run
        if run.type == "SCHEDULED" and not run.tasks and time.monotonic() - begun > _PICK_UP_SECONDS:
            raise PermanentError(f"No worker took the run within {_PICK_UP_SECONDS:.0f} s; see {page}.")
        time.sleep(_POLL_SECONDS)


def _print_clusters(settings: Settings, echo: Echo) -> None:
    rows = list_clusters(settings, settings.project, _TOP_CLUSTERS)
    echo(f"{'items':>5}  {'sources':<30}  title")
    for row in rows:
        line = f"{row['n_items']:>5}  {', '.join(row['sources']):<30}  {row['title'] or '(not named yet)'}"
        echo("".join(c if c.isprintable() else " " for c in line))


def _print_addresses(settings: Settings, echo: Echo) -> None:
    echo("Soulcaster is running:")
    echo(f"  app              {_url(settings, settings.app_port)}")
    echo(f"  receiver         {_url(settings, settings.receiver_port)}/ingest/<source>")
    echo(f"  prefect          {_prefect_url(settings)}")
    echo(f"  logs             {settings.home / 'logs'}")
    echo("Ctrl-C ends all of it.")


def _watch(members: Family, echo: Echo) -> None:
    try:
        while True:
            children.check_alive(members)
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        echo("Ending everything ...")


def _wait_for(members: Family, name: str, url: str) -> None:
    children.wait_until(lambda: prefect_api.is_healthy(url), members, f"the {name} at {url}", _START_SECONDS)


def _environment(settings: Settings) -> dict[str, str]:
    """What the children see: the same settings, and a Prefect of our own that phones nowhere."""
    env = {"SOULCASTER_HOME": str(settings.home)}
    for name in settings.model_fields_set - {"home"}:
        value = getattr(settings, name)
        if value is not None:
            plain = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            env[f"SOULCASTER_{name.upper()}"] = plain
    log_lines = "logging-json.yml" if settings.log_format == "json" else "logging.yml"
    return env | {
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_API_URL": _api_url(settings),
        "PREFECT_API_KEY": "",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # A drain every five minutes would fill the database for ever; events are kept 7 days, runs 30.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "true",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(30 * 24 * 3600),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_LOGGING_SETTINGS_PATH": str(ROOT / "infra" / "prefect" / log_lines),
        "PREFECT_LOGGING_LOGGERS_SOULCASTER_LEVEL": settings.log_level,
        "PREFECT_CLI_COLORS": "false",
        "PYTHONUNBUFFERED": "1",
    }


def _reachable_host(settings: Settings) -> str:
    """The address under which this machine reaches its own servers."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  compared, not bound
    return f"[{host}]" if ":" in host else host


def _url(settings: Settings, port: int) -> str:
    return f"http://{_reachable_host(settings)}:{port}"


def _prefect_host(settings: Settings) -> str:
    """Prefect has no roles: it stays on this machine, also where the app does not."""
    return settings.host if is_loopback(settings.host) else "127.0.0.1"


def _prefect_url(settings: Settings) -> str:
    return _url(settings.model_copy(update={"host": _prefect_host(settings)}), settings.prefect_port)


def _api_url(settings: Settings) -> str:
    return _prefect_url(settings) + "/api"


def _checked(file: Path) -> Path:
    if not file.exists():
        raise PermanentError(f"Importing {str(file)!r} failed: there is no such file or folder; check FILE.")
    return file.resolve()


def _check_ports(settings: Settings) -> None:
    """Pass when all ports are free.

    Raises:
        PermanentError: one is not, or the host is no address of this machine; names the setting to change.
    """
    ports = {
        "SOULCASTER_PREFECT_PORT": settings.prefect_port,
        "SOULCASTER_APP_PORT": settings.app_port,
        "SOULCASTER_RECEIVER_PORT": settings.receiver_port,
    }
    if len(set(ports.values())) < len(ports):
        raise PermanentError(f"Starting needs three different ports, got {ports}; change one of these settings.")
    for variable, port in ports.items():
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((settings.host, port))
        except PermissionError:
            raise PermanentError(f"Port {port} needs rights this user lacks; set {variable} above 1023.") from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise PermanentError(
                    f"Listening on SOULCASTER_HOST {settings.host!r} failed: {error.strerror}; use 127.0.0.1."
                ) from error
            raise PermanentError(
                f"Port {port} on {settings.host} is taken{_holder(port)}; end that program or set {variable} to a "
                "free port."
            ) from error


def _holder(port: int) -> str:
    """' by <program> (process <id>)' as far as /proc tells, else a guess; never an error."""
    wanted = f":{port:04X}"
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if Path(table).exists():
            rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
            inodes |= {f"socket:[{row[9]}]" for row in rows if row[1].endswith(wanted) and row[3] == "0A"}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in inodes for link in (process / "fd").iterdir()):
                return f" by {(process / 'comm').read_text().strip()!r} (process {process.name})"
        except OSError:
            continue  # ended meanwhile, or somebody else's
    return ", perhaps by a `soulcaster up` of another home or user"


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Hold `<home>/up.lock` with our process id and addresses in it.

    Raises:
        PermanentError: another `up` holds it; names its process and addresses.
    """
    path = settings.home / "up.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PermanentError(f"Using the home {str(settings.home)!r} failed: {error.strerror}; check it.") from error
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = file.read()
            other = json.loads(said) if said else {"pid": "unknown", "app": "not known yet"}
            raise PermanentError(
                f"Soulcaster already runs in {str(settings.home)!r} (process {other['pid']}, app at {other['app']}); "
                "use that one, end it with Ctrl-C, or set SOULCASTER_HOME to another folder."
            ) from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "app": _url(settings, settings.app_port)}))
        file.flush()
        yield
        file.truncate(0)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end us the way Ctrl-C does, also where Ctrl-C was set to be ignored."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    kept = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)

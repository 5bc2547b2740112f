"""History into the store, window by window: a span of a source's past, or the files of an archive.

Each window can be read alone and again: what is stored is known by its id, and how far an archive's file is stands in
the store, so that a backfill that was killed goes on behind its last commit. It gives way to live intake: one window at
a time, transactions of one chunk, and the store's turnstile lets whoever waits in before the next one. Several runs of
one backfill share its windows: who reads one holds its lock, which the kernel gives back when the process dies.
"""

from __future__ import annotations

import fcntl
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from soulcaster import db
from soulcaster.configured import KINDS, ConfiguredSource, parse_source_id
from soulcaster.db import backfills
from soulcaster.db import sources as sources_store
from soulcaster.errors import PermanentError, SoulcasterError, TransientError
from soulcaster.ingest import OUTSIDE, Progress, store_chunks, store_outcomes, store_table
from soulcaster.items import NAMESPACE
from soulcaster.models import FeedbackItem, Ignored, ImportReport, Outcome, Source
from soulcaster.pages import find_source_mapping, read_window
from soulcaster.settings import Settings
from soulcaster.sources.generic_files import read_file
from soulcaster.sources.mapping import ServiceMapping, load_mapping
from soulcaster.sources.payloads import list_files
from soulcaster.sources.table_files import find_kind
from soulcaster.sources.tabular import ColumnMap
from soulcaster.windows import BackfillReport, Window, WindowSpec, WindowState, cut, parse_span

logger = logging.getLogger(__name__)

DEFAULT_SPAN = "7d"

_FILES_PER_WINDOW = 500
_BYTES_PER_WINDOW = 64 * 1024 * 1024
"""Small files share a window, larger ones have one each."""


class BackfillRequest(BaseModel):
    """What to fetch. Times are aware; a source needs `start`, an archive takes both as a filter on creation."""

    model_config = ConfigDict(frozen=True)

    target: str = Field(max_length=4096, description="A configured source, or a file or folder.")
    start: AwareDatetime | None = Field(None, description="From this time on.")
    end: AwareDatetime | None = Field(None, description="To before this time; now when empty, for a source.")
    window: str | None = Field(None, max_length=10, description="Length of a source's windows, '12h', '7d' or '2w'.")
    source: Source = Field("manual", description="What an archive holds.")
    columns: ColumnMap = Field(default_factory=ColumnMap, description="Which column of an archive's tables is what.")
    mapping: str | None = Field(None, description="The mapping that reads an archive, in place of `source`.")


def plan(settings: Settings, project_id: str, request: BackfillRequest) -> list[Window]:
    """The backfill's windows in their order, each as far as earlier starts of the same backfill brought it.

    Raises:
        PermanentError: no such source or path, or a range or window that makes no sense.
    """
    if not request.target.strip():
        raise PermanentError("Planning a backfill failed: expected a configured source, a file or a folder, got none.")
    if request.target.partition(":")[0] in KINDS:
        planned = _windows_of_source(settings, project_id, request)
    else:
        planned = _windows_of_archive(settings, project_id, request)
    now = datetime.now(UTC)
    wait = settings.lock_timeout_seconds
    db.write(
        settings.duckdb_path, lambda con: backfills.add_windows(con, project_id, planned, now), timeout_seconds=wait
    )
    ids = [each.window_id for each in planned]
    known = db.read(
        settings.duckdb_path, lambda con: backfills.list_windows(con, project_id, ids), timeout_seconds=wait
    )
    places = {window_id: place for place, window_id in enumerate(ids)}
    return sorted(known, key=lambda each: places[each.window_id])


def run_window(
    settings: Settings, project_id: str, window_id: uuid.UUID, *, on_progress: Progress | None = None
) -> Window | None:
    """The window, read to its end; `counts` holds all that was ever read for it. None: another run reads or read it.

    Raises:
        PermanentError: the source refused, or a table is not what it says.
        TransientError: the source or the store is away; what was committed stays.
    """
    with _claimed(settings.home / "windows" / f"{window_id}.lock") as is_ours:
        if not is_ours:
            return None
        window = db.read(
            settings.duckdb_path,
            lambda con: backfills.get_window(con, project_id, window_id),
            timeout_seconds=settings.lock_timeout_seconds,
        )
        if window.state == "done":
            return None
        if window.spec.files:
            window = _run_files(settings, project_id, window, on_progress)
        else:
            window = _run_span(settings, project_id, window, on_progress)
        return _save(settings, window, "done")


def backfill(
    settings: Settings, project_id: str, request: BackfillRequest, *, on_progress: Progress | None = None
) -> BackfillReport:
    """Counts of all windows that were not done yet; called again it does what is left.

    Raises:
        PermanentError: as `plan`.
        TransientError: as `plan`.
    """
    windows = plan(settings, project_id, request)
    return read_windows(windows, lambda each: run_window(settings, project_id, each.window_id), on_progress)


def read_windows(
    windows: list[Window], read: Callable[[Window], Window | None], on_progress: Progress | None = None
) -> BackfillReport:
    """Counts of those that are not done. A broken file does not stop the others; a source that refuses is left alone.

    Args:
        windows: of `plan`, in its order.
        read: `run_window`, by whatever way.
        on_progress: called with (windows done, windows).
    """
    report = BackfillReport(n_windows=len(windows), n_before=sum(each.state == "done" for each in windows))
    for position, window in enumerate(windows):
        if window.state != "done":
            try:
                done = read(window)
            except SoulcasterError as error:
                report.n_failed += 1
                report.notes.append(f"{window.title}: {error}")
                if not window.spec.files or isinstance(error, TransientError):
                    break
            else:
                if done is None:
                    report.n_elsewhere += 1
                else:
                    report.n_read += 1
                    report.counts += done.counts
                    report.notes += [f"{done.title}: {done.note}"] if done.note else []
        if on_progress:
            on_progress(position + 1, len(windows))
    return report


@contextmanager
def _claimed(lock: Path) -> Iterator[bool]:
    """Whether this process has the window to itself while the block lasts.

    Its file is removed only behind a window that is done: who opened it before then finds nothing left to read.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
        lock.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _windows_of_source(settings: Settings, project_id: str, request: BackfillRequest) -> list[Window]:
    source = _find_source(settings, project_id, request.target)
    if request.start is None:
        raise PermanentError(f"Backfilling {source.source_id!r} failed: expected a time to start from, got none.")
    end = request.end or datetime.now(UTC)
    length = parse_span(request.window or DEFAULT_SPAN) if _can_end(settings, source) else end - request.start
    spans = cut(request.start.astimezone(UTC), end.astimezone(UTC), length)
    chosen = source.options.model_dump_json(exclude_defaults=True)
    windows = []
    for position, (start, until) in enumerate(spans):
        spec = WindowSpec(start=start, end=until)
        title = f"{start:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}"
        windows.append(_window(project_id, source.source_id, position, title, spec, chosen))
    return windows


def _can_end(settings: Settings, source: ConfiguredSource) -> bool:
    """Whether a window can be asked for; a service that takes no end would tell everything in each, so it gets one."""
    if source.kind != "generic":
        return True
    poll = find_source_mapping(settings, source).poll
    return poll is None or poll.since is None or poll.since.until_parameter is not None


def _windows_of_archive(settings: Settings, project_id: str, request: BackfillRequest) -> list[Window]:
    if request.window is not None:
        raise PermanentError(
            f"Backfilling {request.target!r} failed: an archive's files are its windows, expected none."
        )
    path = Path(request.target).expanduser().resolve()
    columns = {name: column for name, column in request.columns.model_dump().items() if column is not None}
    described = load_mapping(settings.mappings_path, request.mapping).model_dump_json() if request.mapping else ""
    windows = []
    for position, files in enumerate(_packs(path, request.source, columns)):
        names = ["" if file == path else file.relative_to(path).as_posix() for file in files]
        spec = WindowSpec(
            start=request.start, end=request.end, files=names, source=request.source, columns=columns,
            mapping=request.mapping,
        )  # fmt: skip
        states = [file.stat() for file in files]
        version = "|".join(f"{each.st_size},{each.st_mtime_ns}" for each in states) + described
        title = files[0].name if len(files) == 1 else f"{files[0].name} to {files[-1].name} ({len(files)} files)"
        windows.append(_window(project_id, str(path), position, title, spec, version))
    return windows


def _packs(path: Path, source: Source, columns: dict[str, str]) -> Iterator[list[Path]]:
    """Files of each window; a table has one of its own."""
    pack: list[Path] = []
    size = 0
    for file in list_files(path):
        if not file.is_file():
            continue
        grown = size + file.stat().st_size
        is_alone = _is_table(file, source, columns)
        if pack and (is_alone or len(pack) >= _FILES_PER_WINDOW or grown > _BYTES_PER_WINDOW):
            yield pack
            pack, grown = [], file.stat().st_size
        pack.append(file)
        size = _BYTES_PER_WINDOW if is_alone else grown
    if pack:
        yield pack


def _window(project_id: str, target: str, position: int, title: str, spec: WindowSpec, version: str) -> Window:
    """A window whose id changes with whatever decides what is read, so that a file that grew is read again."""
    left_out = {"mapping"} if spec.mapping is None else None  # as backfills were named before there were mappings
    name = f"{project_id}|backfill|{target}|{spec.model_dump_json(exclude=left_out)}|{version}"
    return Window(window_id=uuid.uuid5(NAMESPACE, name), target=target, position=position, title=title, spec=spec)


def _find_source(settings: Settings, project_id: str, source_id: str) -> ConfiguredSource:
    kind, name = parse_source_id(source_id)
    return db.read(
        settings.duckdb_path,
        lambda con: sources_store.get_source(con, project_id, kind, name),
        timeout_seconds=settings.lock_timeout_seconds,
    )


def _run_span(settings: Settings, project_id: str, window: Window, on_progress: Progress | None) -> Window:
    """A span is read from its beginning: where a killed attempt stopped says nothing about a list that moved on."""
    source = _find_source(settings, project_id, window.target)
    start, end = window.spec.start, window.spec.end
    assert start is not None and end is not None  # noqa: PT018, S101  windows of sources have both
    counts, notes = ImportReport(), []
    for page, outcomes in read_window(settings, source, start, end):
        located = [(window.target, outcome) for outcome in outcomes]
        counts += store_outcomes(settings, project_id, located, source=source.item_source)
        notes += [page.note] if page.note else []
        if on_progress:
            on_progress(counts.seen, 0)
    return window.model_copy(update={"counts": counts, "note": "; ".join(dict.fromkeys(notes))})


def _run_files(settings: Settings, project_id: str, window: Window, on_progress: Progress | None) -> Window:
    root, spec = Path(window.target), window.spec
    files = [root / name if name else root for name in spec.files]
    mapping = load_mapping(settings.mappings_path, spec.mapping) if spec.mapping else None
    if mapping is None and _is_table(files[0], spec.source, spec.columns):
        return _run_table(settings, project_id, window, files[0], on_progress)
    reader: Source | ServiceMapping = mapping or spec.source
    n_skipped = window.n_done if len(files) == 1 else 0
    position = n_skipped

    def located() -> Iterator[tuple[str, Outcome]]:
        nonlocal position
        for file in files:
            for where, outcomes in read_file(root, file, reader, n_skipped=n_skipped):
                position += 1
                for outcome in outcomes:
                    yield where, _bounded(outcome, spec)

    for counts in store_chunks(settings, project_id, located(), source=spec.mapping or spec.source, is_archive=True):
        # The last line may have more outcomes than are committed: it is read again.
        n_done = max(position - 1, n_skipped) if len(files) == 1 else 0
        window = window.model_copy(update={"counts": window.counts + counts, "n_done": n_done})
        _tell(settings, window, on_progress)
    return window


def _run_table(settings: Settings, project_id: str, window: Window, file: Path, on_progress: Progress | None) -> Window:
    spec = window.spec
    chunks = store_table(
        settings, project_id, file, spec.source, ColumnMap(**spec.columns), n_skipped=window.n_done,
        span=(spec.start, spec.end),
    )  # fmt: skip
    for counts, _ in chunks:
        update = {"counts": window.counts + counts, "n_done": window.n_done + counts.seen}
        window = window.model_copy(update=update)
        _tell(settings, window, on_progress)
    return window


def _tell(settings: Settings, window: Window, on_progress: Progress | None) -> None:
    _save(settings, window, "started")
    if on_progress:
        on_progress(window.counts.seen, 0)


def _save(settings: Settings, window: Window, state: WindowState) -> Window:
    kept = window.model_copy(update={"state": state})
    db.write(
        settings.duckdb_path,
        lambda con: backfills.save_progress(con, kept, now=datetime.now(UTC)),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    return kept


def _bounded(outcome: Outcome, spec: WindowSpec) -> Outcome:
    """The outcome, ignored when it is an item from outside of the range; one that does not say when stays."""
    at = outcome.created_at if isinstance(outcome, FeedbackItem) else None
    is_outside = at is not None and ((spec.start and at < spec.start) or (spec.end and at >= spec.end))
    return Ignored(reason=OUTSIDE) if is_outside else outcome


def _is_table(file: Path, source: Source, columns: dict[str, str]) -> bool:
    """Whether the name is that of a table; JSON lines of a source are payloads unless a column is named."""
    kind = find_kind(file)
    return kind is not None and (kind != "jsonl" or source == "manual" or bool(columns))

"""A copy of everything the product remembers, made while it runs, and the way back.

A backup is a folder: the store, the vectors, what waits in the inbox, the job folders, and a manifest with the checksum
of each file. Secrets are in no store of ours, so they are in no backup; the cache of repositories is fetched again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from soulcaster import __version__, db, vector_index
from soulcaster.db.copying import copy_store, count_rows
from soulcaster.db.erasure import Mark
from soulcaster.erase import list_all_marks, take_over
from soulcaster.errors import PermanentError
from soulcaster.settings import Settings

_MANIFEST = "manifest.json"
_FORMAT = 1
_NAME = "soulcaster-%Y%m%dT%H%M%S.%fZ"
_GLOB = "soulcaster-????????T??????*Z"


class StoredFile(BaseModel):
    """One file of a backup."""

    n_bytes: int
    sha256: str


class Manifest(BaseModel):
    """What a backup holds."""

    format: int = _FORMAT
    version: str = Field(description="Soulcaster that made it.")
    made_at: AwareDatetime
    rows: dict[str, int] = Field(description="Rows by table of the store.")
    vectors: dict[str, int] = Field(description="Vectors by model.")
    files: dict[str, StoredFile] = Field(description="By path inside the backup.")


class BackupReport(BaseModel):
    """What one backup or restore did."""

    path: str
    n_items: int
    n_vectors: int
    n_files: int
    n_bytes: int
    n_removed: int = Field(0, description="Older backups that were deleted.")
    moved_to: str = Field("", description="Where the home that stood in the way went.")
    note: str = Field("", description="What is left to do about erasures since the backup; empty for nothing.")


def backup(
    settings: Settings, target: Path, *, keep: int = 7, on_progress: Callable[[int, int], None] | None = None
) -> BackupReport:
    """Make a new folder in `target`; it appears whole or not at all. Writers wait while the store's file is copied.

    Args:
        settings: whose home.
        target: folder of backups, outside the home.
        keep: newest backups that stay; older ones are deleted once the new one is complete.
        on_progress: called with (files checked, files).

    Raises:
        PermanentError: there is no store, or the folder cannot be written or lies inside the home.
        TransientError: the store is busy.
    """
    home = settings.home.resolve()
    if target.resolve().is_relative_to(home):
        raise PermanentError(f"Backing up into {str(target)!r}: expected a folder outside the home {str(home)!r}.")
    try:
        target.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".making-", dir=target))
    except OSError as error:
        raise PermanentError(f"Backing up into {str(target)!r} failed: {error.strerror}; check the folder.") from error
    try:
        manifest = _fill(settings, aside, on_progress)
        made = target / f"{manifest.made_at:{_NAME}}"
        (aside / _MANIFEST).write_text(manifest.model_dump_json(indent=1))
        aside.chmod(0o700)
        _sync(aside)
        aside.rename(made)
    except OSError as error:
        raise PermanentError(f"Backing up into {str(target)!r} failed: {error.strerror}; check the disk.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    old = sorted(target.glob(_GLOB))[:-keep]
    for each in old:
        shutil.rmtree(each)
    return _report(made, manifest, n_removed=len(old))


def restore(settings: Settings, source: Path, *, on_progress: Callable[[int, int], None] | None = None) -> BackupReport:
    """Put the contents of a backup into the home. What is there is moved aside and named in the report, never deleted.

    Stop what runs over the home first: a process that goes on would write into the folder that was moved aside. Who was
    erased since the backup was made is erased again.

    Args:
        settings: whose home.
        source: a folder that `backup` made.
        on_progress: called with (files checked, files).

    Raises:
        PermanentError: `source` is no backup, is damaged, or comes from a newer version; nothing was changed.
        TransientError: somebody uses the store.
    """
    manifest = read_manifest(source)
    home = settings.home.resolve()
    home.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{home.name}-restoring-", dir=home.parent))
    try:
        for number, (name, stored) in enumerate(manifest.files.items()):
            if on_progress is not None:
                on_progress(number, len(manifest.files))
            _restore_file(source / name, aside / name, stored)
        own = settings.model_copy(update={"home": aside})
        db.migrate(own.duckdb_path)
        marks, note = _read_marks(settings)
        moved_to = _swap(settings, home, aside)
    except OSError as error:
        raise PermanentError(f"Restoring {str(source)!r} failed: {error.strerror}; nothing was changed.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    report = _report(source, manifest, moved_to=moved_to)
    report.note = note
    try:
        take_over(settings, marks, actor="restore")
    except PermanentError as error:  # the backup is back and the marks are in it: the nightly flow ends what is left
        report.note = str(error)
    return report


def _read_marks(settings: Settings) -> tuple[dict[str, list[Mark]], str]:
    """Who was erased in the home that stands in the way, and why that is not known; a damaged store is no obstacle."""
    try:
        return (list_all_marks(settings) if settings.duckdb_path.exists() else {}), ""
    except PermanentError as error:
        return {}, f"Who was erased since the backup is not known, erase them again: {error}"


def newest_backup(settings: Settings) -> datetime | None:
    """When the newest backup of the folder of nightly backups was made; None without folder.

    The home's own age counts where there is no backup yet, so that a folder nobody ever wrote to is noticed.
    """
    if settings.backup_folder is None:
        return None
    made = sorted(settings.backup_folder.glob(_GLOB))
    if made:
        return datetime.strptime(made[-1].name, _NAME).replace(tzinfo=UTC)
    return datetime.fromtimestamp(settings.home.stat().st_ctime, UTC) if settings.home.exists() else None


def read_manifest(source: Path) -> Manifest:
    """What the backup in the folder `source` holds.

    Raises:
        PermanentError: it is no backup, or one of a newer format.
    """
    try:
        manifest = Manifest.model_validate_json((source / _MANIFEST).read_text())
    except (OSError, ValidationError) as error:
        raise PermanentError(
            f"Reading the backup {str(source)!r} failed: expected a folder made by `soulcaster backup` with a readable "
            f"{_MANIFEST}, got {type(error).__name__}."
        ) from error
    inside = all(
        Path(name).parts and not Path(name).is_absolute() and ".." not in Path(name).parts for name in manifest.files
    )
    if manifest.format > _FORMAT or not inside:
        raise PermanentError(
            f"Reading the backup {str(source)!r} of version {manifest.version!r} expected format {_FORMAT} or older, "
            "and paths inside it; use the version that made it."
        )
    return manifest


def _fill(settings: Settings, aside: Path, on_progress: Callable[[int, int], None] | None) -> Manifest:
    """The inbox first: a delivery that is stored in between is in both, and counts once after a restore."""
    made_at = datetime.now(UTC)
    _copy_tree(settings.inbox_path, aside / "inbox")
    copy_store(settings.duckdb_path, aside / settings.duckdb_path.name, timeout_seconds=settings.lock_timeout_seconds)
    rows = db.read(aside / settings.duckdb_path.name, count_rows)
    vectors = vector_index.copy_tables(settings.lancedb_path, aside / "lancedb")
    _copy_tree(settings.jobs_path, aside / "jobs")
    for left in (*aside.glob("*.lock"), *aside.glob("*.gate")):
        left.unlink()
    names = [path.relative_to(aside).as_posix() for path in _files(aside)]
    files = {}
    for number, name in enumerate(names):
        if on_progress is not None:
            on_progress(number, len(names))
        files[name] = StoredFile(n_bytes=(aside / name).stat().st_size, sha256=_digest(aside / name))
    return Manifest(version=__version__, made_at=made_at, rows=rows, vectors=vectors, files=files)


def _copy_tree(source: Path, target: Path) -> None:
    """Regular files as they are; one that is gone when its turn comes was finished meanwhile, links are left out."""
    for path in _files(source) if source.is_dir() else []:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(path, copy, follow_symlinks=False)
        except FileNotFoundError:
            continue


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root) / name
            if path.is_file() and not path.is_symlink():
                yield path


def _restore_file(source: Path, target: Path, stored: StoredFile) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, target, follow_symlinks=False)
    except FileNotFoundError:
        raise PermanentError(f"Restoring {str(source)!r} found no such file; the backup is damaged.") from None
    if target.stat().st_size != stored.n_bytes or _digest(target) != stored.sha256:
        raise PermanentError(
            f"Restoring {str(source)!r} expected {stored.n_bytes:,} bytes with the checksum of the manifest, got "
            "others; the backup is damaged, take another one. Nothing was changed."
        )


def _swap(settings: Settings, home: Path, aside: Path) -> str:
    """Put `aside` in the place of the home while nobody holds its store; returns where the old one went."""
    if not home.exists() or not any(home.iterdir()):
        if home.exists():
            home.rmdir()
        aside.rename(home)
        return ""
    moved = home.with_name(f"{home.name}-before-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")

    with db.hold(settings.duckdb_path, timeout_seconds=settings.lock_timeout_seconds):
        home.rename(moved)
        aside.rename(home)
    return str(moved)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    for path in _files(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _report(path: Path, manifest: Manifest, *, n_removed: int = 0, moved_to: str = "") -> BackupReport:
    return BackupReport(
        path=str(path),
        n_items=manifest.rows.get("items", 0),
        n_vectors=sum(manifest.vectors.values()),
        n_files=len(manifest.files),
        n_bytes=sum(each.n_bytes for each in manifest.files.values()),
        n_removed=n_removed,
        moved_to=moved_to,
    )

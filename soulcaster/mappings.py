"""Services that a declared mapping reads: which mappings there are, a trial on a sample, a file taken in by one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, Field

from soulcaster import text
from soulcaster.errors import PermanentError
from soulcaster.ingest import Progress, store_outcomes
from soulcaster.items import to_frame
from soulcaster.models import FeedbackItem, Ignored, ImportReport, Quarantined
from soulcaster.settings import Settings
from soulcaster.sources.generic import parse_payload
from soulcaster.sources.generic_files import read_mapped
from soulcaster.sources.mapping import (
    SecretValue,
    ServiceMapping,
    find_mappings,
    load_mapping,
    read_mapping,
    read_sample,
)

MAX_SAMPLE_BYTES = 4 * 1024 * 1024
_SHOWN_ITEMS = 50
_HIDDEN = ("payload", "location", "notes")


class MappingInfo(BaseModel):
    """One mapping, for a list."""

    name: str
    title: str = ""
    about: str = Field("", description="What to set up over there.")
    file: str | None = Field(None, description="The person's own file; null for a shipped one.")
    ways: list[Literal["hook", "poll", "file"]] = Field(default_factory=list)
    variables: list[str] = Field(default_factory=list, description="Variables that hold its secrets.")
    error: str = Field("", description="Why the file is no mapping; empty when it is one.")


class MappingTrial(BaseModel):
    """What a mapping makes of a payload; nothing was stored."""

    mapping: str
    items: list[dict[str, Any]] = Field(description="As they would be stored, at most 50.")
    n_items: int
    ignored: dict[str, int]
    quarantined: list[dict[str, str]] = Field(description="reason and detail of each row that would wait.")


def list_mappings(settings: Settings) -> list[MappingInfo]:
    """Every mapping there is, the person's own and the shipped; a broken file is one with an `error`."""
    return [_info(settings, name, file) for name, file in find_mappings(settings.mappings_path)]


def find_mapping(settings: Settings, name_or_file: str) -> ServiceMapping:
    """The mapping of this name, or in this file (what has an ending or a slash is a file).

    Raises:
        PermanentError: there is none, or it is not one.
    """
    is_file = "/" in name_or_file or Path(name_or_file).suffix != ""
    return read_mapping(Path(name_or_file)) if is_file else load_mapping(settings.mappings_path, name_or_file)


def try_mapping(settings: Settings, mapping: ServiceMapping, sample: bytes | None = None) -> MappingTrial:
    """What would become of a payload, hygiene and quarantine included. Without a sample the shipped one is tried.

    Raises:
        PermanentError: the sample is no JSON or too large, or there is none.
    """
    outcomes = list(parse_payload(_decoded(mapping, sample), mapping))
    items = [outcome for outcome in outcomes if isinstance(outcome, FeedbackItem)]
    frame = to_frame(items).with_columns(location=pl.lit(f"{mapping.name} sample"))
    kept, suspects = text.clean(frame, max_body_chars=settings.max_body_chars)
    held = [{"reason": each.reason, "detail": each.detail} for each in outcomes if isinstance(each, Quarantined)]
    held += suspects.select("reason", "detail").to_dicts()
    return MappingTrial(
        mapping=mapping.name,
        items=[_shown(row) for row in kept.head(_SHOWN_ITEMS).iter_rows(named=True)],
        n_items=kept.height,
        ignored=dict(Counter(outcome.reason for outcome in outcomes if isinstance(outcome, Ignored))),
        quarantined=held,
    )


def import_mapped(
    settings: Settings,
    project_id: str,
    path: Path,
    mapping: ServiceMapping,
    *,
    on_progress: Progress | None = None,
) -> ImportReport:
    """Counts of a file or folder of payloads, or of tables whose rows are the records; a second time changes nothing.

    Raises:
        PermanentError: nothing is there, or it is not what its name says.
        TransientError: the store was busy for too long; what was committed stays, start the import again.
    """
    located = ((where, outcome) for where, outcomes in read_mapped(path, mapping) for outcome in outcomes)
    return store_outcomes(settings, project_id, located, source=mapping.name, is_archive=True, on_progress=on_progress)


def _decoded(mapping: ServiceMapping, sample: bytes | None) -> object:
    if sample is None:
        shipped = read_sample(mapping.name)
        if shipped is None:
            raise PermanentError(f"Trying the mapping {mapping.name!r} failed: it has no sample, give a file.")
        return shipped
    if len(sample) > MAX_SAMPLE_BYTES:
        raise PermanentError(f"Trying the mapping {mapping.name!r} failed: expected at most {MAX_SAMPLE_BYTES} bytes.")
    try:
        payload: object = json.loads(sample)
    except (ValueError, RecursionError) as error:
        raise PermanentError(f"Trying the mapping {mapping.name!r} failed: expected JSON, {error}.") from error
    return payload


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """What an item says: fields without a value left out."""
    return {name: value for name, value in row.items() if name not in _HIDDEN and value not in (None, "", [])}


def _info(settings: Settings, name: str, file: Path | None) -> MappingInfo:
    try:
        mapping = load_mapping(settings.mappings_path, name)
    except PermanentError as error:
        return MappingInfo(name=name, file=file and str(file), error=str(error))
    ways: list[Literal["hook", "poll", "file"]] = ["file"]
    variables: list[str] = []
    if mapping.poll is not None:
        ways.insert(0, "poll")
        values = mapping.poll.headers.values()
        variables += [value.variable for value in values if isinstance(value, SecretValue)]
    if mapping.hook is not None:
        ways.insert(0, "hook")
        variables.insert(0, mapping.hook.proof.variable)
    return MappingInfo(
        name=name, title=mapping.title, about=mapping.about, file=file and str(file), ways=ways, variables=variables
    )

"""Problem statements: each text restated by a model as the problem behind it, to be embedded in the text's place.

Off unless the settings say otherwise: it costs a question a text, where names cost one a cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl

from soulcaster import vector_index
from soulcaster.asking import Asker, make_writer
from soulcaster.clustering.plain import plain_text
from soulcaster.db import read, write
from soulcaster.db import statements as store
from soulcaster.embedders import make_embedder
from soulcaster.errors import SoulcasterError
from soulcaster.llm import statements
from soulcaster.llm.statements import ProblemStatement
from soulcaster.llm.writer import Writer
from soulcaster.models import RestateReport
from soulcaster.settings import Settings
from soulcaster.text import content_hash, embedding_text
from soulcaster.traces import traced

_SHARE = 0.5
"""Of the day's budget at most: names of clusters, which everybody reads, must not wait for texts."""


@traced("restate")
def restate(
    settings: Settings, project_id: str, *, most: int = 200, on_progress: Callable[[int, int], None] | None = None
) -> RestateReport:
    """Restate the newest texts that wait for it; `embed` then makes their vectors anew, and only theirs.

    Answers are kept as they come, so a kill loses one; the statements of a pass count from its end on, all at once. A
    text whose answer is of no use speaks for itself, until model or rules change. Switched off, every text does; what
    was paid for is kept. Without a model nothing changes.

    Args:
        settings: switch, budget and store.
        project_id: whose texts.
        most: texts of this pass at most.
        on_progress: called with (done, total).

    Raises:
        PermanentError: settings ask for a model and have no key.
        TransientError: the store is busy.
    """
    wait = settings.lock_timeout_seconds
    if settings.statements == "off":
        if read(settings.duckdb_path, lambda con: store.count_statements(con, project_id), timeout_seconds=wait):
            gone = write(
                settings.duckdb_path, lambda con: store.forget_statements(con, project_id), timeout_seconds=wait
            )
            _drop_vectors(settings, gone)
        return RestateReport(note="SOULCASTER_STATEMENTS is off: every text is embedded as it is.")
    writer = make_writer(settings)
    if writer is None:
        return RestateReport(note="No model is set, so nothing was asked.")
    return _restate(settings, project_id, writer, most, on_progress)


def _restate(
    settings: Settings, project_id: str, writer: Writer, most: int, on_progress: Callable[[int, int], None] | None
) -> RestateReport:
    wait = settings.lock_timeout_seconds
    written_by = f"{writer.model}@{statements.PROMPT}"
    n_waiting, texts = read(
        settings.duckdb_path,
        lambda con: (
            store.count_waiting(con, project_id, written_by=written_by),
            store.list_waiting(con, project_id, written_by=written_by, limit=most),
        ),
        timeout_seconds=wait,
    )
    asker = Asker(
        settings, project_id, writer, kind="state", rules=statements.rules(), version=statements.PROMPT,
        shape=ProblemStatement, check=lambda answer, question: statements.check(answer, question, plain_text),
        share=_SHARE,
    )  # fmt: skip
    found, note = _ask(asker, texts, n_waiting, on_progress)
    if found.height:
        gone = write(
            settings.duckdb_path,
            lambda con: store.write_statements(con, project_id, found, written_by=written_by, now=datetime.now(UTC)),
            timeout_seconds=wait,
        )
        _drop_vectors(settings, gone)
    n_stated = found["statement"].count()
    return RestateReport(
        n_stated=n_stated,
        n_own=found.height - n_stated,
        n_waiting=n_waiting - found.height,
        n_calls=asker.n_calls,
        cost_usd=asker.cost_usd,
        note=note,
    )


def _drop_vectors(settings: Settings, hashes: list[str]) -> None:
    """Delete what the index has of these; a kill before this leaves vectors that nothing asks for."""
    embedder = make_embedder(settings)
    table = vector_index.find_index(settings.lancedb_path, embedder.model_id, embedder.dim)
    if table is not None and hashes:
        vector_index.drop(table, hashes)


def _ask(
    asker: Asker[ProblemStatement],
    texts: pl.DataFrame,
    n_waiting: int,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[pl.DataFrame, str]:
    rows: list[tuple[str, str | None, str | None]] = []
    for done, (own_hash, title, body) in enumerate(texts.iter_rows()):
        if on_progress is not None:
            on_progress(done, texts.height)
        try:
            answer = asker.ask(statements.make_question(embedding_text(title, body)))
        except SoulcasterError as error:
            note = f"{error} {n_waiting - done:,} texts wait and are embedded as they are."
            return pl.DataFrame(rows, schema=store.SCHEMA, orient="row"), note
        if answer is None or not answer.statement:
            rows.append((own_hash, None, None))
        else:
            rows.append((own_hash, answer.statement, content_hash(f"{own_hash}\n{answer.statement}")))
    n_left = n_waiting - texts.height
    note = f"{n_left:,} texts wait for the next pass and are embedded as they are." if n_left else ""
    return pl.DataFrame(rows, schema=store.SCHEMA, orient="row"), note

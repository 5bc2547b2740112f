"""Names of clusters by a model, within the day's budget: asks what is not kept, keeps what it pays for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from duckdb import DuckDBPyConnection

from soulcaster.clustering.naming import unique_title
from soulcaster.clustering.plain import plain_text
from soulcaster.db import llm as store
from soulcaster.db import read, write
from soulcaster.errors import PermanentError, SoulcasterError
from soulcaster.llm import names
from soulcaster.llm.names import ClusterWords
from soulcaster.llm.writer import Writer
from soulcaster.settings import Settings

_PRICED_PER = 1_000_000


class Unnamed(NamedTuple):
    """A cluster that wants words."""

    cluster_id: str
    reports: list[names.Report]
    terms: list[str]
    siblings: list[str]
    """Titles of the other clusters of its theme."""


class Named(NamedTuple):
    """What one pass of the model gave."""

    words: dict[str, ClusterWords]
    """By cluster id."""
    n_calls: int
    cost_usd: float
    note: str
    """Why some have no words, in one sentence; empty when all have."""


def make_writer(settings: Settings) -> Writer | None:
    """The model that writes names; None when settings want none, or `auto` finds no key.

    Raises:
        PermanentError: a model is wanted and there is no key.
    """
    key = settings.gemini_api_key.get_secret_value().strip() if settings.gemini_api_key else ""
    if settings.llm == "none" or (settings.llm == "auto" and not key):
        return None
    if not key:
        raise PermanentError(
            "Making the writer of names found no key; set SOULCASTER_GEMINI_API_KEY or SOULCASTER_LLM=none."
        )
    return Writer(
        api_key=key,
        model=settings.llm_model,
        base_url=settings.gemini_base_url,
        requests_per_minute=settings.gemini_requests_per_minute,
    )


def method(writer: Writer) -> str:
    """How these names are told from others: model and version of the rules."""
    return f"{writer.model}@{names.PROMPT}"


def name_by_model(
    settings: Settings,
    project_id: str,
    writer: Writer,
    clusters: Sequence[Unnamed],
    taken: set[str],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Named:
    """Words for as many of `clusters` as the day's budget pays for, in their order; no title twice.

    An answer that is of no use costs its cluster's words; a model that is away, refuses the key, or a spent budget ends
    the pass with a note. Every answer is stored before the next question, so that a kill loses one.

    Args:
        settings: budget and store.
        project_id: whose clusters they are.
        writer: the model.
        clusters: most important first.
        taken: casefolded titles of all other clusters; those given are added.
        on_progress: called with (done, total).
    """
    asked = _Asked(settings, project_id, writer)
    found: dict[str, ClusterWords] = {}
    note = ""
    for done, cluster in enumerate(clusters):
        if on_progress is not None:
            on_progress(done, len(clusters))
        try:
            words = _name(asked, cluster, taken)
        except SoulcasterError as error:
            note = f"{error} {len(clusters) - done:,} clusters wait for their words."
            break
        if words is not None:
            taken.add(words.title.casefold())
            found[cluster.cluster_id] = words
    n_useless = len(clusters) - len(found)
    if not note and n_useless:
        note = f"The model gave nothing of use for {n_useless:,} clusters; they keep the names picked from their texts."
    return Named(found, asked.n_calls, asked.cost_usd, note)


def _name(asked: _Asked, cluster: Unnamed, taken: set[str]) -> ClusterWords | None:
    words = asked.ask(names.make_question(cluster.reports, cluster.terms))
    if words is None or words.title.casefold() not in taken:
        return words
    others = [words.title, *(title for title in cluster.siblings if title != words.title)]
    again = asked.ask(names.make_question(cluster.reports, cluster.terms, others)) or words
    return again.model_copy(update={"title": unique_title(again.title, cluster.terms, set(taken))})


class _Asked:
    """The questions of one pass: their number and cost, and the budget they are held against."""

    def __init__(self, settings: Settings, project_id: str, writer: Writer) -> None:
        self._settings = settings
        self._project_id = project_id
        self._writer = writer
        self._rules = names.rules()
        self.n_calls = 0
        self.cost_usd = 0.0
        self._used = read(
            settings.duckdb_path,
            lambda con: store.sum_usage(con, project_id, now=datetime.now(UTC)),
            timeout_seconds=settings.lock_timeout_seconds,
        )

    def ask(self, question: str) -> ClusterWords | None:
        """Checked words, kept or new; None when the model gives none.

        Raises:
            PermanentError: the day's budget is spent, or the key is refused.
            TransientError: the model is away.
        """
        key = names.hash_question(self._writer.model, question)
        is_known, kept = read(
            self._settings.duckdb_path,
            lambda con: store.find_answer(con, self._project_id, key, now=datetime.now(UTC)),
            timeout_seconds=self._settings.lock_timeout_seconds,
        )
        if is_known:
            return ClusterWords.model_validate_json(kept) if kept is not None else None
        self._check_budget()
        answer = self._writer.ask(self._rules, question, ClusterWords)
        words = names.check(answer.value, question, plain_text) if answer.value is not None else None
        outcome = "refused" if answer.value is not None and words is None else answer.outcome
        cost = self._price(answer.n_input_tokens, answer.n_output_tokens)
        call = store.Call("name", self._writer.model, outcome, answer.n_input_tokens, answer.n_output_tokens, cost)
        self._keep(key, words, call)
        return words

    def _price(self, n_input_tokens: int, n_output_tokens: int) -> float:
        read_usd = n_input_tokens * self._settings.llm_input_usd
        return (read_usd + n_output_tokens * self._settings.llm_output_usd) / _PRICED_PER

    def _keep(self, key: str, words: ClusterWords | None, call: store.Call) -> None:
        now = datetime.now(UTC)
        text = words.model_dump_json() if words is not None else None

        def keep(con: DuckDBPyConnection) -> store.Usage:
            store.keep_answer(con, self._project_id, key, text, now=now)
            return store.add_call(con, self._project_id, call, now=now)

        self._used = write(self._settings.duckdb_path, keep, timeout_seconds=self._settings.lock_timeout_seconds)
        self.n_calls += 1
        self.cost_usd += call.cost_usd

    def _check_budget(self) -> None:
        limits = (
            ("calls", self._used.n_calls, self._settings.llm_calls_per_day, "SOULCASTER_LLM_CALLS_PER_DAY"),
            ("tokens", self._used.n_tokens, self._settings.llm_tokens_per_day, "SOULCASTER_LLM_TOKENS_PER_DAY"),
            ("US dollars", self._used.cost_usd, self._settings.llm_cost_per_day_usd, "SOULCASTER_LLM_COST_PER_DAY_USD"),
        )
        for unit, used, most, variable in limits:
            if used >= most:
                raise PermanentError(
                    f"Naming clusters in project {self._project_id!r} used {used:,.6g} of {most:,.6g} {unit} of "
                    f"{self._writer.model!r} today (UTC); it goes on tomorrow, or raise {variable}."
                )

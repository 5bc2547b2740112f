"""Questions to a model within the day's budget: what is kept is not asked, what is paid for is kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Generic, NamedTuple, TypeVar

from duckdb import DuckDBPyConnection
from pydantic import BaseModel

from soulcaster.db import llm as store
from soulcaster.db import read, write
from soulcaster.errors import PermanentError
from soulcaster.gemini_client import find_key
from soulcaster.llm.writer import Answer, Outcome, Shape, Writer
from soulcaster.settings import Settings

Result = TypeVar("Result")

_PRICED_PER = 1_000_000


def make_writer(settings: Settings) -> Writer | None:
    """The model that writes words; None when settings want none, or `auto` finds no key.

    Raises:
        PermanentError: a model is wanted and there is no key.
    """
    key = find_key(settings.gemini_api_key)
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


class Greeting(BaseModel):
    """What `probe` asks for."""

    word: str


class Probe(NamedTuple):
    """What became of one question that is asked to see whether the model answers."""

    model: str
    outcome: Outcome
    n_tokens: int
    cost_usd: float


def probe(settings: Settings, project_id: str) -> Probe | None:
    """One short question, really asked and paid from the project's budget of the day; None when no model is wanted.

    Raises:
        PermanentError: there is no key, or it is refused.
        TransientError: the model is away, or the store is busy.
    """
    writer = make_writer(settings)
    if writer is None:
        return None
    answer = writer.ask("Answer in JSON.", "Say the word: ready.", Greeting)
    cost = price(settings, answer)
    call = store.Call("probe", writer.model, answer.outcome, answer.n_input_tokens, answer.n_output_tokens, cost)
    write(
        settings.duckdb_path,
        lambda con: store.add_call(con, project_id, call, now=datetime.now(UTC)),
        timeout_seconds=settings.lock_timeout_seconds,
    )
    return Probe(writer.model, answer.outcome, answer.n_input_tokens + answer.n_output_tokens, cost)


def price(settings: Settings, answer: Answer[Shape]) -> float:
    """US dollars of an answer, by the prices of the settings."""
    read_usd = answer.n_input_tokens * settings.llm_input_usd
    return (read_usd + answer.n_output_tokens * settings.llm_output_usd) / _PRICED_PER


class Asker(Generic[Shape]):
    """The questions of one kind in one pass: their number and cost, and the budget they are held against.

    Args:
        settings: budget and store.
        project_id: who pays.
        writer: the model.
        kind: word for the kind of question, stored with each call.
        rules: the system instruction.
        version: of the rules; a part of the key under which answers are kept.
        shape: of an answer.
        check: an answer fit to be shown, or None for one that is not; gets the question too.
        share: of the day's budget, whoever used it, from which on this kind asks no more.
    """

    def __init__(
        self,
        settings: Settings,
        project_id: str,
        writer: Writer,
        *,
        kind: str,
        rules: str,
        version: int,
        shape: type[Shape],
        check: Callable[[Shape, str], Shape | None],
        share: float = 1.0,
    ) -> None:
        self._settings = settings
        self._project_id = project_id
        self._writer = writer
        self._kind, self._rules, self._version = kind, rules, version
        self._shape, self._check, self._share = shape, check, share
        self.n_calls = 0
        self.cost_usd = 0.0
        self._used = self._read(lambda con: store.sum_usage(con, project_id, now=datetime.now(UTC)))

    def ask(self, question: str) -> Shape | None:
        """The checked answer, kept or new, stored before this returns; None when the model gives none of use.

        Raises:
            PermanentError: the day's budget is spent, or the key is refused.
            TransientError: the model is away.
        """
        key = store.hash_question(self._kind, self._version, self._writer.model, question)
        is_known, kept = self._read(lambda con: store.find_answer(con, self._project_id, key, now=datetime.now(UTC)))
        if is_known:
            return self._shape.model_validate_json(kept) if kept is not None else None
        self._check_budget()
        answer = self._writer.ask(self._rules, question, self._shape)
        checked = self._check(answer.value, question) if answer.value is not None else None
        outcome = "refused" if answer.value is not None and checked is None else answer.outcome
        cost = price(self._settings, answer)
        tokens = (answer.n_input_tokens, answer.n_output_tokens)
        self._keep(key, checked, store.Call(self._kind, self._writer.model, outcome, *tokens, cost))
        return checked

    def _keep(self, key: str, answer: Shape | None, call: store.Call) -> None:
        now = datetime.now(UTC)
        text = answer.model_dump_json() if answer is not None else None

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
        for unit, used, limit, variable in limits:
            most = limit * self._share
            if used >= most:
                raise PermanentError(
                    f"Asking {self._writer.model!r} for project {self._project_id!r} used {used:,.6g} of {most:,.6g} "
                    f"{unit} of today (UTC); it goes on tomorrow, or raise {variable}."
                )

    def _read(self, fn: Callable[[DuckDBPyConnection], Result]) -> Result:
        return read(self._settings.duckdb_path, fn, timeout_seconds=self._settings.lock_timeout_seconds)

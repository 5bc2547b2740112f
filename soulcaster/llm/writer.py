"""Asks a Gemini model for an answer of a given shape."""

from __future__ import annotations

from typing import Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel

from soulcaster.gemini_client import Pace, call, make_client

Shape = TypeVar("Shape", bound=BaseModel)
Outcome = Literal["ok", "blocked", "cut", "broken", "refused"]
"""blocked: by the model's own safety; cut: longer than allowed; broken: not of the shape; refused: by our own check."""

_MOST_OUTPUT_TOKENS = 4_096


class Answer(NamedTuple, Generic[Shape]):
    """What one question gave, and what it used."""

    value: Shape | None
    """Null unless the outcome is ok."""
    outcome: Outcome
    n_input_tokens: int
    n_output_tokens: int
    """With the tokens the model thought with: they are paid for as output."""


class Writer:
    """One Gemini model; holds an HTTP client and the time of its last call.

    Args:
        api_key: Gemini API key.
        model: e.g. 'gemini-2.5-flash'.
        base_url: other address of the API (proxy, stand-in); None for Google's.
        requests_per_minute: ceiling kept by waiting between calls; the SDK's own retries come on top.
        first_delay_seconds: wait before the second try of a call, doubled for each further one.
    """

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        base_url: str | None = None,
        requests_per_minute: int = 90,
        first_delay_seconds: float = 1.0,
    ) -> None:
        self.model = model
        self._api_key = api_key
        self._pace = Pace(requests_per_minute)
        self._client = make_client(api_key, base_url, first_delay_seconds=first_delay_seconds)

    def ask(self, rules: str, question: str, shape: type[Shape]) -> Answer[Shape]:
        """The model's answer to `question` under `rules`; one that is no `shape` is told by its outcome.

        Raises:
            TransientError: 429, 5xx, time-out or no connection, after the tries are used up.
            PermanentError: the key or the request was refused.
        """
        from google.genai import types

        config = types.GenerateContentConfig(
            system_instruction=rules,
            response_mime_type="application/json",
            response_schema=shape,
            temperature=0.0,
            max_output_tokens=_MOST_OUTPUT_TOKENS,
        )
        self._pace.wait()
        response = call(
            f"Asking {self.model!r} for words",
            self._api_key,
            lambda: self._client.models.generate_content(model=self.model, contents=question, config=config),
        )
        used = response.usage_metadata
        n_input = (used.prompt_token_count or 0) if used else 0
        n_output = ((used.candidates_token_count or 0) + (used.thoughts_token_count or 0)) if used else 0
        value = response.parsed if isinstance(response.parsed, shape) else None
        return Answer(value, "ok" if value is not None else _why_not(response), n_input, n_output)


def _why_not(response: object) -> Outcome:
    """Why an answer has no value: blocked and cut ones say so, all others are not of the shape."""
    from google.genai import types

    candidates = getattr(response, "candidates", None) or []
    reason = candidates[0].finish_reason if candidates else None
    if reason is types.FinishReason.MAX_TOKENS:
        return "cut"
    if not candidates or reason not in (types.FinishReason.STOP, None):
        return "blocked"
    return "broken"

"""The sources a project pulls from, as people configure them, and what became of the last pull.

Owns names, options and their bounds. Secrets are named (the variable or Prefect block that holds them), never held.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from soulcaster.errors import PermanentError
from soulcaster.models import ImportReport

Kind = Literal["reddit", "github", "sentry", "generic"]
KINDS: tuple[Kind, ...] = ("reddit", "github", "sentry", "generic")

PullState = Literal["new", "ok", "failing", "blocked"]
"""`failing` is tried again by itself; `blocked` waits for a person: `message` says what to do."""

Way = Literal["auto", "oauth", "json", "rss"]

Cursor = dict[str, Any]
"""Where the next pull begins: a small JSON object that only the module of its source understands."""

REFERENCE_PATTERN = r"^(?:[A-Z_][A-Z0-9_]{0,99}|block:[a-z0-9][a-z0-9-]{0,99})$"
"""A variable, or a Secret block of Prefect's."""
_NAMES: dict[Kind, tuple[str, str]] = {
    "reddit": (r"[A-Za-z0-9_]{2,50}", "a subreddit such as 'selfhosted'"),
    "github": (r"[A-Za-z0-9-]{1,39}/[A-Za-z0-9_.-]{1,100}", "owner/repository"),
    "sentry": (r"[a-z0-9_-]{1,100}/[a-z0-9_-]{1,100}", "organization/project, both as slugs"),
    "generic": (r"(?!(?:manual|reddit|sentry|github|generic)$)[a-z][a-z0-9_-]{1,39}", "a name such as 'zendesk'"),
}


def _variable(description: str) -> Any:  # noqa: ANN401  what pydantic's Field gives
    described = f"Variable (or block:NAME, a Secret block of Prefect's) that holds {description}."
    return Field(None, pattern=REFERENCE_PATTERN, description=described)


class SourceOptions(BaseModel):
    """What is asked of one source; options of another kind are refused when the source is added."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    search: str | None = Field(None, max_length=500, description="Reddit: search terms. Sentry: issue query.")
    include_comments: bool = Field(default=False, description="Comments become items too (Reddit, GitHub).")
    include_discussions: bool = Field(default=False, description="Discussions become items too (GitHub, with a token).")
    labels: list[str] = Field(default_factory=list, max_length=20, description="GitHub: issues with all of these.")
    environments: list[str] = Field(default_factory=list, max_length=20, description="Sentry: any of these.")
    levels: list[Literal["debug", "info", "warning", "error", "fatal"]] = Field(
        default_factory=list, description="Sentry: any of these."
    )
    way: Way = Field("auto", description="Reddit: auto = oauth with credentials, else json, else rss.")
    token_variable: str | None = _variable("the token (GitHub, Sentry)")
    client_id_variable: str | None = _variable("the app's client id (Reddit) or app id (GitHub App)")
    client_secret_variable: str | None = _variable("the app's secret (Reddit) or private key (GitHub App)")
    mapping: str | None = Field(
        None,
        pattern=r"^[a-z][a-z0-9_-]{1,39}$",
        description="Generic: its mapping; the one of its name when empty.",
    )
    base_url: str | None = Field(
        None, pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$", max_length=300, description="Other address of the API."
    )


_OPTIONS_OF: dict[Kind, set[str]] = {
    "reddit": {"search", "include_comments", "way", "client_id_variable", "client_secret_variable", "base_url"},
    "github": {
        *(
            "include_comments",
            "include_discussions",
            "labels",
            "token_variable",
            "client_id_variable",
            "client_secret_variable",
            "base_url",
        ),
    },
    "sentry": {"search", "environments", "levels", "token_variable", "base_url"},
    "generic": {"mapping", "base_url"},
}


class ConfiguredSource(BaseModel):
    """One source of a project with what its last pull left behind."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    name: str
    options: SourceOptions = Field(default_factory=SourceOptions)
    is_paused: bool = False
    added_at: AwareDatetime
    cursor: Cursor = Field(default_factory=dict)
    state: PullState = "new"
    state_since: AwareDatetime | None = Field(None, description="When the state last became another one.")
    message: str = Field("", description="What went wrong and what to do; or what the way in use cannot give.")
    way: str | None = Field(None, description="How the last page was read, e.g. 'oauth', 'rss', 'token'.")
    retry_at: AwareDatetime | None = Field(None, description="Scheduled pulls leave the source alone until then.")
    pulled_at: AwareDatetime | None = Field(None, description="End of the last pull that went through.")

    @property
    def source_id(self) -> str:
        """How people name it: 'github:owner/repo'."""
        return f"{self.kind}:{self.name}"

    @property
    def item_source(self) -> str:
        """What its items have as source: the kind, or of a generic one its name."""
        return self.name if self.kind == "generic" else self.kind


class PullReport(BaseModel):
    """What one pull of one source brought."""

    source_id: str
    way: str | None = None
    n_pages: int = 0
    skipped: str | None = Field(None, description="Why it was left alone, when it was.")
    message: str = Field("", description="What the way in use cannot give.")
    counts: ImportReport = Field(default_factory=ImportReport)


def list_options(kind: Kind) -> list[str]:
    """Names of the options that a source of this kind has, in the order of the form."""
    return [name for name in SourceOptions.model_fields if name in _OPTIONS_OF[kind]]


def parse_source_id(text: str) -> tuple[Kind, str]:
    """Kind and name of 'github:owner/repo', 'reddit:selfhosted' ('r/' in front is dropped), 'sentry:org/project'.

    Raises:
        PermanentError: no such kind, or a name that kind cannot have.
    """
    kind, _, name = text.strip().partition(":")
    if kind not in _NAMES:
        raise PermanentError(
            f"Reading the source {text[:120]!r} failed: expected 'kind:name' with a kind of {', '.join(KINDS)}."
        )
    if kind == "reddit":
        name = re.sub(r"^/?r/", "", name).rstrip("/")
    pattern, expected = _NAMES[kind]
    if not re.fullmatch(pattern, name):
        raise PermanentError(f"Reading the source {text[:120]!r} failed: after '{kind}:' expected {expected}.")
    return kind, name


def parse_options(kind: Kind, given: dict[str, Any]) -> SourceOptions:
    """Options of a source of this kind from what a person gave; None counts as not given.

    Raises:
        PermanentError: an option this kind has not, or a value it cannot have; a value of a secret is never repeated.
    """
    given = {name: value for name, value in given.items() if value not in (None, [], False)}
    unknown = sorted(set(given) - _OPTIONS_OF[kind])
    if unknown:
        known = ", ".join(sorted(_OPTIONS_OF[kind]))
        raise PermanentError(
            f"Adding a {kind} source failed: it has no option {unknown[0]!r}, expected one of {known}."
        )
    try:
        options = SourceOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        if name.endswith("_variable"):
            wanted = "expected the name of an environment variable (ACME_TOKEN) or Prefect block (block:acme-token)"
            raise PermanentError(
                f"Adding a {kind} source failed: option {name!r}: {wanted}, never its value."
            ) from None
        raise PermanentError(f"Adding a {kind} source failed: option {name!r}: {first['msg']}.") from None
    if (options.client_id_variable is None) != (options.client_secret_variable is None):
        raise PermanentError(
            f"Adding a {kind} source failed: expected both client_id_variable and client_secret_variable, got one."
        )
    return options

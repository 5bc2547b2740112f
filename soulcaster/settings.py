"""Every setting of the product, from `SOULCASTER_*` variables and `.env`. Loaded at the edges only."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from soulcaster import logs, traces
from soulcaster.errors import PermanentError

EmbedderName = Literal["auto", "minilm", "static", "gemini"]

_STORE_NAME = "soulcaster.duckdb"

BLOCK_PREFIX = "block:"
"""Before the name of a Secret block of Prefect's, where a variable could be named too."""

AgentTool = Literal["kilo", "gemini-cli", "scripted"]


class Settings(BaseSettings):
    """Fields are the table of settings in the README; a test keeps the two equal."""

    model_config = SettingsConfigDict(env_prefix="SOULCASTER_", env_file=".env", extra="ignore", frozen=True)

    home: Path = Field(Path("data"), description="Folder that holds all state.")
    duckdb: str = Field("", description="The store; empty, or `soulcaster.duckdb` in the home. Servers are refused.")
    project: str = Field("default", min_length=1, max_length=64, description="Project used when none is named.")
    embedder: EmbedderName = Field(
        "auto", description="auto = gemini when a key is set, else minilm; static for very large backfills."
    )
    gemini_api_key: SecretStr | None = Field(None, description="Key for Gemini embeddings and summaries.")
    gemini_base_url: str | None = Field(None, description="Other address of the Gemini API (proxy, stand-in).")
    gemini_embedding_model: str = Field("gemini-embedding-001", description="Gemini embedding model.")
    gemini_requests_per_minute: int = Field(90, ge=1, le=10_000, description="Ceiling for calls to Gemini.")
    llm: Literal["auto", "gemini", "none"] = Field(
        "auto", description="Who writes titles and summaries: auto = Gemini when a key is set, else picked from texts."
    )
    llm_model: str = Field("gemini-2.5-flash", pattern=r"^[A-Za-z0-9./_-]{1,100}$", description="Model that writes.")
    statements: Literal["off", "on"] = Field(
        "off", description="on: a model restates each text as the problem behind it, and that is embedded."
    )
    llm_calls_per_day: int = Field(2_000, ge=0, description="Most questions of a project in a day (UTC).")
    llm_tokens_per_day: int = Field(5_000_000, ge=0, description="Most tokens of a project in a day.")
    llm_cost_per_day_usd: float = Field(2.0, ge=0, description="Most money of a project in a day.")
    llm_input_usd: float = Field(0.30, ge=0, description="Price of a million tokens that the model reads.")
    llm_output_usd: float = Field(2.50, ge=0, description="Price of a million tokens that it writes.")
    source_timeout_seconds: float = Field(30.0, gt=0, le=600, description="Longest wait for an answer of a source.")
    poll_private_addresses: bool = Field(
        default=False, description="Generic sources may be polled at addresses that are not of the public internet."
    )
    lock_timeout_seconds: float = Field(30.0, gt=0, le=600, description="Longest wait for the store's lock.")
    max_body_chars: int = Field(20_000, ge=500, le=1_000_000, description="Longer bodies are cut, and noted.")
    items_per_day: int = Field(0, ge=0, description="New items of a project in a day (UTC); 0 is no bound.")
    items_total: int = Field(0, ge=0, description="Items of a project; 0 is no bound.")
    min_cluster_size: int = Field(2, ge=2, le=1000, description="Fewest distinct texts that make a cluster.")
    min_similarity: float = Field(0.5, ge=0, le=1, description="Cosine below which texts never share a cluster.")
    auto_publish_max_churn: float = Field(
        0.1,
        ge=0,
        le=1,
        description="A refit that takes a larger share of clustered items elsewhere waits for a person.",
    )
    refit_after_share: float = Field(0.01, gt=0, le=1, description="Share of new items that makes a refit due.")
    refit_after_hours: float = Field(24.0, gt=0, le=8760, description="Age at which a refit with new items is due.")
    keep_proposals: int = Field(10, ge=1, le=10_000, description="Newest groupings kept though never on show.")
    keep_runs_days: float = Field(30.0, ge=0, le=36_500, description="Days for which every grouping is kept.")
    keep_payloads_days: float = Field(365.0, ge=0, le=36_500, description="Days of raw payloads; 0 is for ever.")
    keep_quarantine_days: float = Field(180.0, ge=0, le=36_500, description="Days of held rows nobody released.")
    keep_answers_days: float = Field(365.0, ge=0, le=36_500, description="Days of kept answers and costs of a model.")
    keep_activity_days: float = Field(0.0, ge=0, le=36_500, description="Days of the activity log; 0 is for ever.")
    keep_jobs_days: float = Field(180.0, ge=0, le=36_500, description="Days of folders and bundles of ended fixes.")
    keep_logs_days: float = Field(30.0, ge=0, le=36_500, description="Days of log files nobody writes to.")
    backup_folder: Path | None = Field(None, description="Folder of nightly backups, outside the home; none is none.")
    backup_keep: int = Field(7, ge=1, le=10_000, description="Newest backups that stay in it.")
    host: str = Field("127.0.0.1", description="Address that app, receiver and Prefect server listen on.")
    app_port: int = Field(8501, ge=1, le=65535, description="Port of the Streamlit app.")
    app_url: str = Field(
        "", max_length=300, description="Address at which people reach the app; http://localhost:<port> when empty."
    )
    oidc_metadata_url: str = Field("", max_length=300, description="Sign-in: the provider's openid-configuration.")
    oidc_client_id: str = Field("", max_length=300, description="Sign-in: our id at the provider.")
    oidc_client_secret: SecretStr | None = Field(None, description="Sign-in: our secret at the provider.")
    api_requests_per_minute: int = Field(300, ge=1, le=100_000, description="Requests of one token to the HTTP API.")
    receiver_port: int = Field(8787, ge=1, le=65535, description="Port of the webhook receiver.")
    prefect_port: int = Field(4200, ge=1, le=65535, description="Port of the Prefect server and its UI.")
    receiver_max_bytes: int = Field(1_000_000, ge=1, le=50_000_000, description="Largest body the receiver takes.")
    receiver_body_seconds: float = Field(30.0, gt=0, le=600, description="Longest time for one body to arrive.")
    receiver_min_free_bytes: int = Field(
        500_000_000, ge=0, description="Free disk below which the receiver takes nothing; the store needs the rest."
    )
    receiver_token: SecretStr | None = Field(None, description="Token of posts to /ingest/manual and /reddit.")
    metrics_token: SecretStr | None = Field(None, description="Token of /metrics; without one only this machine may.")
    sentry_client_secret: SecretStr | None = Field(None, description="Signs Sentry webhook bodies.")
    github_webhook_secret: SecretStr | None = Field(None, description="Signs GitHub webhook bodies.")
    agent_tool: AgentTool = Field("kilo", description="Coding tool that edits; scripted replays `agent_script`.")
    agent_model: str = Field("gemini-2.5-flash", pattern=r"^[A-Za-z0-9./_-]{1,100}$", description="Model it asks.")
    agent_protocol: Literal["gemini", "openai"] = Field("gemini", description="What the model's address speaks.")
    agent_model_url: str = Field(
        "https://generativelanguage.googleapis.com", max_length=300, description="Where the model answers."
    )
    agent_script: Path | None = Field(None, description="JSON that the tool `scripted` replays; for trials and tests.")
    agent_sandbox: Literal["auto", "none", "require"] = Field(
        "auto", description="auto = bubblewrap when it works here; require refuses to run without."
    )
    agent_wall_seconds: int = Field(1200, ge=1, le=6000, description="Longest time of one step of the agent.")
    agent_idle_seconds: int = Field(240, ge=1, le=6000, description="Longest time of a step without progress.")
    agent_requests: int = Field(80, ge=1, le=10_000, description="Most requests to the model in one step.")
    agent_tokens: int = Field(2_000_000, ge=1, description="Most tokens in one step.")
    agent_cost_usd: float = Field(2.0, gt=0, description="Most money in one step, where the tool knows prices.")
    launcher: Literal["local", "ecs"] = Field("local", description="Where the agent runs: here, or on AWS Fargate.")
    ecs_region: str = Field("", description="AWS region of cluster and bucket.")
    ecs_cluster: str = Field("", description="ECS cluster that tasks are started in.")
    ecs_task_definition: str = Field("", description="Family, family:revision or ARN of the agent's task definition.")
    ecs_subnets: str = Field("", description="Subnets of the tasks, with commas.")
    ecs_security_groups: str = Field("", description="Security groups of the tasks, with commas.")
    ecs_gateway_mode: Literal["sidecar", "task"] = Field(
        "sidecar", description="Model gateway beside the agent, or in a task of its own: then the agent has no way out."
    )
    ecs_gateway_task_definition: str = Field("", description="Task definition of the gateway in a task of its own.")
    ecs_gateway_security_groups: str = Field("", description="Security groups of that task, with commas.")
    ecs_bucket: str = Field("", description="S3 bucket of the job folders.")
    ecs_prefix: str = Field("soulcaster", pattern=r"^[A-Za-z0-9._/-]{1,200}$", description="Below it in the bucket.")
    ecs_spot: bool = Field(default=False, description="Take Fargate Spot first; a second try is on demand.")
    ecs_public_ip: bool = Field(default=False, description="Give tasks a public address: subnets without a NAT.")
    ecs_log_group: str = Field("", description="Log group of the task definition; makes links to logs.")
    fix_approval: Literal["anonymous", "member", "verified", "always"] = Field(
        "anonymous",
        description="Fixes whose evidence is of this tier at most wait for a person, and without one are not told it.",
    )
    fix_rounds: int = Field(
        2, ge=0, le=10, description="Most revisions of a pull request that CI or reviewers ask for."
    )
    fix_open_unverified: bool = Field(default=False, description="Propose patches that no test run could judge.")
    fix_job_tokens: int = Field(6_000_000, ge=1, description="Most tokens of one job, over all its steps.")
    fix_job_cost_usd: float = Field(5.0, gt=0, description="Most money of one job.")
    fix_repository_jobs_per_day: int = Field(10, ge=1, le=1000, description="Most jobs of a repository in 24 hours.")
    portfolio_jobs_per_day: int = Field(
        3, ge=0, le=1000, description="Jobs in 24 hours, whoever began them, from which on the portfolio begins none."
    )
    fix_tokens_per_day: int = Field(30_000_000, ge=1, description="Most tokens of a project's jobs in 24 hours.")
    fix_cost_per_day_usd: float = Field(25.0, gt=0, description="Most money of a project's jobs in 24 hours.")
    notify_block: str = Field(
        "", pattern=r"^([a-z0-9-]{1,100}/[a-z0-9-]{1,100})?$", description="Prefect block that tells people: slug/name."
    )
    log_format: logs.LogFormat = Field("text", description="json: one object a line, with the ids it is about.")
    traces_url: str = Field("", max_length=300, description="OTLP/HTTP collector that gets spans; empty sends none.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Level of our own logs.")

    @field_validator("duckdb")
    @classmethod
    def _is_the_file_of_the_home(cls, value: str, info: ValidationInfo) -> str:
        """Refused at start, because no other form carries all that the store is asked for."""
        own = info.data.get("home", Path("data")) / _STORE_NAME
        if value and Path(value).resolve() != own.resolve():
            raise ValueError(
                f"expected nothing or the file {str(own)!r}, got another place; a Quack server loses transactions, "
                "DuckLake needs another backup and erasure than ours, MotherDuck was never tried (docs/scale.md). "
                "Another folder is chosen by SOULCASTER_HOME"
            )
        return value

    @property
    def has_sign_in(self) -> bool:
        """Whether people sign in at a provider before they see anything."""
        return bool(self.oidc_metadata_url and self.oidc_client_id and self.oidc_client_secret)

    @property
    def prefect_api_url(self) -> str:
        """Where Prefect's API answers: PREFECT_API_URL as `soulcaster up` sets it, else host and port from here."""
        return os.environ.get("PREFECT_API_URL") or f"http://{self.host}:{self.prefect_port}/api"

    @property
    def duckdb_path(self) -> Path:
        """The store's file; its lock lies beside it as `<name>.lock`."""
        return self.home / _STORE_NAME

    @property
    def lancedb_path(self) -> Path:
        """Folder of the vector index; may be deleted, `soulcaster reindex` rebuilds it."""
        return self.home / "lancedb"

    @property
    def neighbors_path(self) -> Path:
        """Folder in which groupings remember neighbours for the next one; may be deleted at any time."""
        return self.home / "neighbors"

    @property
    def inbox_path(self) -> Path:
        """Folder of received, not yet drained webhook bodies."""
        return self.home / "inbox"

    @property
    def mappings_path(self) -> Path:
        """Folder of the person's own mappings of generic sources."""
        return self.home / "mappings"

    @property
    def logs_path(self) -> Path:
        """Folder of the logs of the processes that `up` starts."""
        return self.home / "logs"

    @property
    def exports_path(self) -> Path:
        """Folder of the tables that the flow `export` writes."""
        return self.home / "exports"

    @property
    def jobs_path(self) -> Path:
        """One folder a job; in it one a launch."""
        return self.home / "jobs"

    @property
    def repositories_path(self) -> Path:
        """Cache of the repositories that fixes are proposed to; may be deleted."""
        return self.home / "repositories"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_doors(settings: Settings) -> None:
    """Pass when nobody but this machine reaches the app, or people must sign in.

    Raises:
        PermanentError: others would reach it and need no sign-in, or the sign-in is set by halves.
    """
    parts = {
        "SOULCASTER_OIDC_METADATA_URL": settings.oidc_metadata_url,
        "SOULCASTER_OIDC_CLIENT_ID": settings.oidc_client_id,
        "SOULCASTER_OIDC_CLIENT_SECRET": settings.oidc_client_secret,
    }
    missing = [name for name, value in parts.items() if not value]
    if 0 < len(missing) < len(parts):
        raise PermanentError(f"Sign-in is set by halves: expected {', '.join(missing)} too; set all three or none.")
    if missing and not is_loopback(settings.host):
        raise PermanentError(
            f"Listening on SOULCASTER_HOST {settings.host!r} without sign-in was refused: whoever reaches the app "
            "would be its admin; set the three SOULCASTER_OIDC_* settings, or listen on 127.0.0.1."
        )


def variable_of(variable: str, project: str) -> str:
    """The variable that holds a project's own value of a setting: SOULCASTER_X__WEB_SHOP for 'web-shop'."""
    return f"{variable}__{project.replace('-', '_').upper()}"


def read_limit(settings: Settings, name: Literal["items_per_day", "items_total"], project: str) -> tuple[int, str]:
    """The project's own bound when one is set, else that of all; and the variable that sets it.

    Raises:
        PermanentError: the project's variable holds no whole number from 0 on.
    """
    every = f"SOULCASTER_{name.upper()}"
    own = variable_of(every, project)
    value = os.environ.get(own) or dotenv_values(".env").get(own)
    if not value:
        return getattr(settings, name), every
    if not (value.isascii() and value.isdigit()):
        raise PermanentError(f"Reading {own} expected a whole number from 0 on, got {value[:20]!r}; mend it.")
    return int(value), own


def read_secret(name: str) -> SecretStr:
    """What a source names as its secret: a variable of the environment or `.env`, or 'block:NAME' of Prefect's.

    Raises:
        PermanentError: it is not set or empty; names it.
        TransientError: Prefect, which holds the block, is away.
    """
    if name.startswith(BLOCK_PREFIX):
        from soulcaster.prefect_api import read_secret_block

        found = read_secret_block(load_settings().prefect_api_url, name.removeprefix(BLOCK_PREFIX))
        logs.hide([found])
        return SecretStr(found)
    value = os.environ.get(name) or dotenv_values(".env").get(name)
    if not value:
        raise PermanentError(
            f"Reading the secret of a source failed: variable {name} is not set; set it where pulls run."
        )
    logs.hide([value])
    return SecretStr(value)


def list_secrets(settings: Settings, variables: Iterable[str]) -> list[SecretStr]:
    """All secrets that this process holds, or could read from these variables; '' names none.

    What is not set cannot leak, so it is left out.
    """
    found = [value for name in type(settings).model_fields if isinstance(value := getattr(settings, name), SecretStr)]
    for variable in filter(None, variables):
        with contextlib.suppress(PermanentError):
            found.append(read_secret(variable))
    return found


def load_settings() -> Settings:
    """Settings from the environment and `.env`; no log of this process tells their secrets from now on.

    Raises:
        PermanentError: a variable has a value it cannot have; names the variable, never the value of a secret.
    """
    settings = _settings_of(tuple(os.environ.items()), *_stamp_of(Path(".env")))
    given = (getattr(settings, name) for name in type(settings).model_fields)
    logs.hide(each.get_secret_value() for each in given if isinstance(each, SecretStr))
    traces.configure(settings.traces_url)
    return settings


@functools.lru_cache(maxsize=1)
def _settings_of(_variables: tuple[tuple[str, str], ...], _file: Path, _changed_at: int, _n_bytes: int) -> Settings:
    """Kept until a variable or `.env` changes: the screens ask a dozen times a page, at 15 ms a time."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "SOULCASTER_" + "_".join(str(part) for part in first["loc"]).upper()
        raise PermanentError(f"Setting {name} was refused: {first['msg']}; see the table of settings.") from None


def _stamp_of(file: Path) -> tuple[Path, int, int]:
    """Where the file is, when it was last changed in nanoseconds, and its bytes; zeros when there is none."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return file.absolute(), 0, 0
    return file.absolute(), status.st_mtime_ns, status.st_size

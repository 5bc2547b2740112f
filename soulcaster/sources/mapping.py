"""How a service without code of ours is read: a declared mapping from its JSON to item fields, as a YAML or JSON file.

Owns the shape of a mapping, the shipped ones, and where a person's own lie. What a mapping makes of a payload is the
business of `generic`; secrets are named by their variable, never held.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import jmespath
import yaml
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from soulcaster.configured import REFERENCE_PATTERN
from soulcaster.errors import PermanentError
from soulcaster.models import SOURCES, Trust

MAX_MAPPING_BYTES = 256 * 1024
NAME_PATTERN = r"^[a-z][a-z0-9_-]{1,39}$"
VARIABLE_PATTERN = r"^[A-Z_][A-Z0-9_]{0,99}$"
_HEADER_PATTERN = r"^[A-Za-z0-9-]{1,100}$"
_ENDINGS = (".yaml", ".yml", ".json")
_HIDDEN = {"name"}
_RESERVED = {*SOURCES, "generic", "unknown", "typed"}

TextField = Literal[
    "id", "title", "body", "url", "author", "channel", "state", "state_reason", "source_group", "duplicate_of",
    "exception_type", "culprit", "release", "environment", "level",
]  # fmt: skip
TimeField = Literal["created_at", "updated_at"]
CountField = Literal["event_count", "user_count"]
ListField = Literal["labels", "frames"]


@functools.lru_cache(maxsize=1024)
def compiled(expression: str) -> Any:  # noqa: ANN401  the library has no types
    """The parsed JMESPath expression.

    Raises:
        ValueError: it is none; says where.
    """
    try:
        return jmespath.compile(expression)
    except JMESPathError as error:
        raise ValueError(f"no JMESPath expression: {' '.join(str(error).split())[:200]}") from None


def _checked(expression: str) -> str:
    compiled(expression)
    return expression


Expression = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_checked)]
"""JMESPath, e.g. `attributes.title || title`. Quotes around names with blanks, backticks or single quotes for words."""
Variable = Annotated[str, Field(pattern=VARIABLE_PATTERN)]
Header = Annotated[str, Field(pattern=_HEADER_PATTERN)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HmacProof(_Strict):
    """The sender signs the body."""

    kind: Literal["hmac"]
    variable: Variable = Field(description="Variable that holds the signing secret.")
    header: Header = Field(description="Header with the signature.")
    algorithm: Literal["sha256", "sha1", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = Field("", max_length=40, description="What stands before the signature, e.g. 'sha256='.")
    timestamp_header: Header | None = Field(None, description="Header with the time that is signed with the body.")
    separator: str = Field("", max_length=4, description="Between that time and the body.")
    max_age_seconds: int | None = Field(None, ge=1, description="Older posts are refused; needs a time that is read.")

    @model_validator(mode="after")
    def _time_is_named(self) -> HmacProof:
        if self.timestamp_header is None and (self.separator or self.max_age_seconds):
            raise ValueError("separator and max_age_seconds need timestamp_header")
        return self


class TokenProof(_Strict):
    """The sender knows a token, and shows it in a header or, when it can set none, in the address."""

    kind: Literal["token"]
    variable: Variable = Field(description="Variable that holds the token.")
    header: Header | None = Field(None, description="Header with the token.")
    prefix: str = Field("", max_length=40, description="What stands before the token, e.g. 'Bearer '.")
    parameter: str | None = Field(None, pattern=r"^[a-z_]{1,40}$", description="Query parameter with the token.")

    @model_validator(mode="after")
    def _one_place(self) -> TokenProof:
        if (self.header is None) == (self.parameter is None):
            raise ValueError("expected either header or parameter")
        return self


class Hook(_Strict):
    """What the service posts to `/ingest/generic/NAME`."""

    proof: Annotated[HmacProof | TokenProof, Field(discriminator="kind")]
    delivery_header: Header | None = Field(None, description="Header with an id that a repetition has too.")


class SecretValue(_Strict):
    """A header's value out of a variable or, as 'block:NAME', out of a Secret block of Prefect's."""

    variable: Annotated[str, Field(pattern=REFERENCE_PATTERN)]
    prefix: str = Field("", max_length=40)
    encoding: Literal["plain", "base64"] = Field("plain", description="base64 for Basic: the variable holds user:word.")


class Paging(_Strict):
    """How the next page is asked for."""

    kind: Literal["link-header", "next-link", "cursor", "page"]
    path: Expression | None = Field(None, description="Where the next link or cursor stands in the answer.")
    parameter: str | None = Field(None, max_length=100, description="Query parameter of the cursor or page number.")
    first: int = Field(1, ge=0, description="Number of the first page.")
    until: Expression | None = Field(None, description="True on the last page, where a next link comes all the same.")

    @model_validator(mode="after")
    def _fits(self) -> Paging:
        if (self.kind in ("next-link", "cursor")) != (self.path is not None):
            raise ValueError("path is for next-link and cursor")
        if (self.kind in ("cursor", "page")) != (self.parameter is not None):
            raise ValueError("parameter is for cursor and page")
        return self


class Since(_Strict):
    """Asks only for what is newer than the last poll."""

    parameter: str = Field(min_length=1, max_length=100)
    until_parameter: str | None = Field(
        None, min_length=1, max_length=100, description="Asks for nothing newer: a backfill's windows end by it."
    )
    format: Literal["iso", "epoch", "epoch-ms"] = "iso"
    overlap_seconds: int = Field(300, ge=0, le=86_400, description="The next poll begins so much before the last.")
    first_days: float = Field(30.0, gt=0, le=3650, description="How far back the first poll reaches.")


class Poll(_Strict):
    """What is asked of the service with GET."""

    url: str = Field("", max_length=2000, description="Whole address, or what comes behind the source's base_url.")
    headers: dict[Header, str | SecretValue] = Field(default_factory=dict, max_length=20)
    parameters: dict[str, str] = Field(default_factory=dict, max_length=50)
    paging: Paging | None = None
    since: Since | None = None


class IgnoreRule(_Strict):
    """A record that is no feedback."""

    when: Expression
    reason: str = Field(pattern=r"^[a-z0-9-]{1,40}$", description="Slug that is counted.")


class Constants(_Strict):
    """Fields that are the same in every item."""

    channel: str | None = None
    trust: Trust = "anonymous"
    environment: str | None = None
    level: str | None = None
    labels: list[str] = Field(default_factory=list, max_length=20)


class ServiceMapping(_Strict):
    """One service. `name` is what its items have as source; it comes from the file's name."""

    name: str = Field(pattern=NAME_PATTERN)
    title: str = Field(min_length=1, max_length=80)
    about: str = Field("", max_length=4000, description="What to set up over there.")
    records: Expression = "@"
    fields: dict[TextField | TimeField | CountField | ListField, Expression | list[Expression]]
    values: dict[TextField, dict[str, str]] = Field(
        default_factory=dict, description="Words of the service and what they become; '*' for all others."
    )
    time_format: Annotated[str, Field(min_length=1, max_length=60)] = Field(
        "auto", description="auto = ISO 8601, epoch seconds or milliseconds; or a pattern of strptime."
    )
    label_separator: str | None = Field(None, min_length=1, max_length=4, description="Cuts a text into labels.")
    constants: Constants = Constants()
    ignore: list[IgnoreRule] = Field(default_factory=list, max_length=50)
    hook: Hook | None = None
    poll: Poll | None = None

    @model_validator(mode="after")
    def _says_something(self) -> ServiceMapping:
        if self.name in _RESERVED:
            raise ValueError(f"{self.name!r} is a source of its own; expected another name")
        if "title" not in self.fields and "body" not in self.fields:
            raise ValueError("fields: expected title or body")
        if self.time_format != "auto" and "%" not in self.time_format:
            raise ValueError("time_format: expected auto or a pattern such as %d/%m/%Y %H:%M")
        return self


def find_mappings(folder: Path) -> Iterator[tuple[str, Path | None]]:
    """(name, file) of every mapping, the person's own in `folder` before the shipped; file is None for shipped ones."""
    own = {path.stem: path for path in _files(folder)}
    for name in sorted({*own, *_shipped()}):
        yield name, own.get(name)


def load_mapping(folder: Path, name: str) -> ServiceMapping:
    """The mapping of this name: the person's own in `folder`, else the shipped one.

    Raises:
        PermanentError: there is none, or it is not one.
    """
    if re.fullmatch(NAME_PATTERN, name):
        own = next((path for path in _files(folder) if path.stem == name), None)
        if own is not None:
            return _known(own, own.stat().st_mtime_ns)
        if name in _shipped():
            return _known_shipped(name)
    known = ", ".join(name for name, _ in find_mappings(folder))
    raise PermanentError(
        f"There is no mapping {name[:60]!r}: expected one of {known}, or a file {str(folder / 'NAME.yaml')!r}."
    )


def read_mapping(path: Path) -> ServiceMapping:
    """The mapping in a file; its name is the file's without the ending.

    Raises:
        PermanentError: the file cannot be read, or is no mapping.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise PermanentError(f"Reading the mapping {str(path)!r} failed: expected a file {', '.join(_ENDINGS)}.")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_MAPPING_BYTES + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentError(f"Reading the mapping {str(path)!r} failed: {error}; check the file.") from error
    if len(content) > MAX_MAPPING_BYTES:
        raise PermanentError(f"Reading the mapping {str(path)!r} failed: expected at most {MAX_MAPPING_BYTES} bytes.")
    return parse_mapping(text, path.stem)


def parse_mapping(text: str, name: str) -> ServiceMapping:
    """The mapping that the YAML or JSON text declares.

    Raises:
        PermanentError: it is none; names the first field that is wrong.
    """
    what = f"Reading the mapping {name[:60]!r} failed"
    try:
        declared = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PermanentError(f"{what}: expected YAML, {' '.join(str(error).split())[:300]}.") from error
    if not isinstance(declared, dict) or _HIDDEN & declared.keys():
        raise PermanentError(f"{what}: expected fields such as title, records, fields; the name is the file's.")
    try:
        return ServiceMapping.model_validate({**declared, "name": name})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"] if part not in ("hmac", "token")) or "(root)"
        raise PermanentError(f"{what}: field {place!r}: {first['msg'][:300]}.") from None


def read_sample(name: str) -> object:
    """The written sample of a shipped mapping, None when it has none in JSON."""
    file = resources.files("soulcaster.sources.mappings") / f"{name}.sample.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


@functools.lru_cache(maxsize=64)
def _known(path: Path, _modified_ns: int) -> ServiceMapping:
    """As `read_mapping`, once for each state of the file: a receiver asks for it with every post."""
    return read_mapping(path)


@functools.lru_cache(maxsize=64)
def _known_shipped(name: str) -> ServiceMapping:
    text = (resources.files("soulcaster.sources.mappings") / f"{name}.yaml").read_text(encoding="utf-8")
    return parse_mapping(text, name)


@functools.cache
def _shipped() -> frozenset[str]:
    folder = resources.files("soulcaster.sources.mappings")
    return frozenset(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS and re.fullmatch(NAME_PATTERN, path.stem)
    )

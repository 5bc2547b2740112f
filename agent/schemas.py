"""Checks a document against a schema of `schema/`: the part of JSON Schema that our two schemas use, and no more.

The agent carries no libraries, so it has its own checker; tests hold it against the `jsonschema` package.
"""

from __future__ import annotations

# ruff: noqa: ANN401  the value of a schema word is of any type
import json
import math
import re
from datetime import datetime
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "schema"
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_NOTES = {"$schema", "title", "description"}


class SchemaError(ValueError):
    """The document is not what the schema says; the message names the place."""


def load(name: str) -> dict[str, Any]:
    """The schema `job`, `report`, `ticket` or `ended`."""
    schema: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return schema


def check(document: object, schema: dict[str, Any], place: str = "document") -> None:
    """Return when the document fits.

    Raises:
        SchemaError: names the first place that does not fit, never the value.
        NotImplementedError: the schema uses a word that is not known here.
    """
    for word, wanted in schema.items():
        if word in _NOTES:
            continue
        checker = _CHECKERS.get(word)
        if checker is None:
            raise NotImplementedError(f"The schema word {word!r} at {place} is not known to the agent.")
        checker(document, wanted, schema, place)


def _check_type(document: object, wanted: Any, _schema: dict[str, Any], place: str) -> None:
    names = wanted if isinstance(wanted, list) else [wanted]
    if not any(_is_a(document, name) for name in names):
        raise SchemaError(f"{place} is not of type {' or '.join(names)}.")


def _is_a(document: object, name: str) -> bool:
    if isinstance(document, bool) and name != "boolean":
        return False
    if isinstance(document, float) and name == "integer":
        return document.is_integer()
    if isinstance(document, float) and not math.isfinite(document):
        return False
    return isinstance(document, _TYPES[name])


def _check_equal(document: object, wanted: Any, _schema: dict[str, Any], place: str) -> None:
    if document != wanted or isinstance(document, bool) != isinstance(wanted, bool):
        raise SchemaError(f"{place} is not {wanted!r}.")


def _check_enum(document: object, wanted: Any, _schema: dict[str, Any], place: str) -> None:
    if document not in wanted:
        raise SchemaError(f"{place} is none of {', '.join(map(str, wanted))}.")


def _check_required(document: object, wanted: Any, _schema: dict[str, Any], place: str) -> None:
    if isinstance(document, dict):
        for name in wanted:
            if name not in document:
                raise SchemaError(f"{place} lacks {name!r}.")


def _check_properties(document: object, wanted: Any, _schema: dict[str, Any], place: str) -> None:
    if isinstance(document, dict):
        for name, inner in wanted.items():
            if name in document:
                check(document[name], inner, f"{place}.{name}")


def _check_pattern_properties(document: object, wanted: Any, _schema: dict[str, Any], place: str) -> None:
    if isinstance(document, dict):
        for pattern, inner in wanted.items():
            for name, value in document.items():
                if re.search(pattern, name):
                    check(value, inner, f"{place}.{name}")


def _check_additional(document: object, wanted: Any, schema: dict[str, Any], place: str) -> None:
    if not isinstance(document, dict):
        return
    known = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    for name, value in document.items():
        if name in known or any(re.search(pattern, name) for pattern in patterns):
            continue
        if wanted is False:
            raise SchemaError(f"{place} has {name[:60]!r}, which is not known.")
        if isinstance(wanted, dict):
            check(value, wanted, f"{place}.{name[:60]}")


def _check_items(document: object, wanted: Any, _schema: dict[str, Any], place: str) -> None:
    if isinstance(document, list):
        for index, value in enumerate(document):
            check(value, wanted, f"{place}[{index}]")


def _check_bound(document: object, wanted: Any, schema: dict[str, Any], place: str) -> None:
    if isinstance(document, bool) or not isinstance(document, int | float):
        return
    if (
        document < schema.get("minimum", -math.inf)
        or document > schema.get("maximum", math.inf)
        or document <= schema.get("exclusiveMinimum", -math.inf)
    ):
        raise SchemaError(f"{place} is out of bounds ({wanted}).")


def _check_length(document: object, _wanted: Any, schema: dict[str, Any], place: str) -> None:
    if isinstance(document, str) and len(document) > schema.get("maxLength", math.inf):
        raise SchemaError(f"{place} is longer than {schema['maxLength']} characters.")
    if isinstance(document, list):
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        if not least <= len(document) <= most:
            raise SchemaError(f"{place} has {len(document)} entries, wanted {least} to {most}.")


def _check_pattern(document: object, wanted: Any, _schema: dict[str, Any], place: str) -> None:
    # `$` of Python also stands before a last line feed; none of our names may end in one.
    if isinstance(document, str) and (not re.search(wanted, document) or document.endswith("\n")):
        raise SchemaError(f"{place} does not match {wanted}.")


def _check_format(document: object, wanted: Any, _schema: dict[str, Any], place: str) -> None:
    if wanted == "date-time" and isinstance(document, str):
        try:
            is_aware = datetime.fromisoformat(document).tzinfo is not None
        except ValueError:
            is_aware = False
        if not is_aware:
            raise SchemaError(f"{place} is no date and time with a zone.")


def _check_one_of(document: object, wanted: Any, _schema: dict[str, Any], place: str) -> None:
    fits = 0
    for inner in wanted:
        try:
            check(document, inner, place)
        except SchemaError:
            continue
        fits += 1
    if fits != 1:
        raise SchemaError(f"{place} fits {fits} of the {len(wanted)} forms it may have, wanted exactly one.")


_CHECKERS = {
    "type": _check_type,
    "const": _check_equal,
    "enum": _check_enum,
    "required": _check_required,
    "properties": _check_properties,
    "patternProperties": _check_pattern_properties,
    "additionalProperties": _check_additional,
    "items": _check_items,
    "minimum": _check_bound,
    "maximum": _check_bound,
    "exclusiveMinimum": _check_bound,
    "maxLength": _check_length,
    "minItems": _check_length,
    "maxItems": _check_length,
    "pattern": _check_pattern,
    "format": _check_format,
    "oneOf": _check_one_of,
}

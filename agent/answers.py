"""Reads the JSON object that a diagnosis or a review ends with out of what a model said around it."""

from __future__ import annotations

import json
from typing import Any

from agent import schemas
from agent.report import cut

_MOST_OBJECTS = 200


def read_diagnosis(text: str) -> dict[str, Any] | None:
    """The last object in the text that is a diagnosis, its long fields cut; None when there is none."""
    for found in _objects(text):
        answer = {
            "fixability": found.get("fixability"),
            "cause": cut(str(found.get("cause", "")), 4000),
            "files": [cut(str(name), 300) for name in _list(found.get("files"))[:20]],
            "reproduction": cut(str(found.get("reproduction", "")), 4000),
        }
        if "confidence" in found:
            answer["confidence"] = found["confidence"]
        if "cause" in found and _fits(answer, "diagnosis"):
            return answer
    return None


def read_review(text: str) -> dict[str, Any] | None:
    """The last object in the text that is a review; None when there is none."""
    for found in _objects(text):
        answer = {name: found.get(name) for name in ("fixes_cause", "unrelated", "suspicious")}
        answer["comment"] = cut(str(found.get("comment", "")), 2000)
        if _fits(answer, "review"):
            return answer
    return None


def _fits(answer: dict[str, Any], name: str) -> bool:
    try:
        schemas.check(answer, schemas.load("report")["properties"][name])
    except schemas.SchemaError:
        return False
    return True


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects in a text, the last one first; inner ones come after the one that holds them."""
    decoder = json.JSONDecoder()
    found = []
    place = len(text)
    for _ in range(_MOST_OBJECTS):
        place = text.rfind("{", 0, place)
        if place < 0:
            break
        try:
            value, _end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found

"""Our small schema checker says what the `jsonschema` package says, whatever is changed in a document of ours."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import schemas

NOW = "2026-11-22T16:00:00.000+00:00"
EDIT = {
    "schema_version": 1,
    "job_id": "j-1",
    "attempt": 1,
    "mode": "edit",
    "deadline_seconds": 60,
    "edit": {
        "steps": [{"name": "fix", "prompt": "p"}],
        "tool": {"name": "scripted", "model": "m", "script": {"fix": {"files": {"a": "b"}, "sleep_seconds": 0.5}}},
        "limits": {"wall_seconds": 1, "idle_seconds": 1, "requests": 1, "tokens": 1, "cost_usd": 0.1},
    },
}
VERIFY = {
    "schema_version": 1,
    "job_id": "j-1",
    "attempt": 1,
    "mode": "verify",
    "deadline_seconds": 60,
    "verify": {"setup": [], "test": ["true"], "timeout_seconds": 5, "results": "junit"},
}
REPORT = {
    "schema_version": 1,
    "job_id": "j-1",
    "attempt": 1,
    "mode": "edit",
    "status": "done",
    "reason": "",
    "sandbox": "bwrap",
    "started_at": NOW,
    "changed_at": NOW,
    "steps": [{"name": "fix", "status": "done", "seconds": 1.5, "exit_code": None}],
    "diagnosis": {"fixability": "fixable", "cause": "c", "confidence": 0.5},
    "review": None,
    "runs": {"baseline": {"status": "done", "seconds": 1, "tests": {"a::b": "passed"}}},
}
WHOLE = {"bytes": 10, "sha256": "0" * 64}
OUTPUTS = ("report.json", "change.patch", "events.jsonl", "log.txt")
TICKET = {
    "schema_version": 1,
    "mode": "edit",
    "deadline_seconds": 60,
    "progress_seconds": 15.0,
    "gateway": "http://127.0.0.1:8790",
    "inputs": {name: {"url": "https://x", **WHOLE} for name in ("job.json", "source.tar.gz")},
    "outputs": dict.fromkeys(OUTPUTS, "https://x"),
    "ended": "https://x",
}
ENDED = {"schema_version": 1, "exit_code": 143, "reason": "r", "outputs": {"report.json": WHOLE}}
DOCUMENTS = {
    "edit": ("job", EDIT),
    "verify": ("job", VERIFY),
    "report": ("report", REPORT),
    "ticket": ("ticket", TICKET),
    "ended": ("ended", ENDED),
}
VALUES: list[Any] = [None, True, 0, 1, -1, 1.0, 0.5, 10**9, "", "x", "done", "verify", "a\n", "x" * 300, [], ["a"], {}, {"a": 1}]  # fmt: skip  # noqa: E501  one list


def says_yes(document: object, name: str) -> bool:
    """Our checker."""
    try:
        schemas.check(document, schemas.load(name))
    except schemas.SchemaError:
        return False
    return True


def places(document: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else []
    )
    return [so_far, *(place for key, value in inner for place in places(value, (*so_far, key)))]


@pytest.mark.parametrize("which", list(DOCUMENTS))
def test_good_documents_pass(which: str):
    """Each of the three is valid for both checkers."""
    name, document = DOCUMENTS[which]

    assert says_yes(document, name)
    jsonschema.Draft202012Validator(schemas.load(name)).validate(document)


@settings(max_examples=400)
@given(st.data())
def test_it_agrees_with_the_jsonschema_package(data: st.DataObject):
    """One value changed, added or taken away anywhere: the same yes or no."""
    name, original = DOCUMENTS[data.draw(st.sampled_from(list(DOCUMENTS)))]
    document = copy.deepcopy(original)
    *path, key = data.draw(st.sampled_from(places(document)[1:]))
    holder: Any = document
    for part in path:
        holder = holder[part]
    change = data.draw(st.sampled_from(["set", "remove", "add"]))
    if change == "remove":
        del holder[key]
    elif change == "add" and isinstance(holder, dict):
        holder[data.draw(st.sampled_from(["other", "setup", "tests", "baseline_again"]))] = data.draw(
            st.sampled_from(VALUES)
        )
    else:
        holder[key] = data.draw(st.sampled_from(VALUES))
    wanted = jsonschema.Draft202012Validator(schemas.load(name)).is_valid(document)
    is_date = change == "set" and key in {"started_at", "changed_at"}  # formats are ours to check as well
    ends_in_line_feed = change != "remove" and isinstance(holder, dict) and holder.get(key) == "a\n"

    assert wanted == says_yes(document, name) or is_date or ends_in_line_feed


def test_a_word_it_does_not_know_is_no_pass():
    """A schema that grows beyond the checker is noticed, not half checked."""
    with pytest.raises(NotImplementedError):
        schemas.check({}, {"dependentRequired": {}})


@pytest.mark.parametrize("name", ["job", "report", "ticket", "ended"])
def test_the_schemas_are_schemas(name: str):
    """All are valid by the meta schema and use only words the checker knows."""
    path = Path(schemas.__file__).parent / "schema" / f"{name}.json"
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))

"""What the agent is told: versioned templates filled with facts of ours and quoted reports of strangers. Pure.

Delimiters and rules improve answers; they stop nobody. What stops a poisoned report is that the agent holds no secret,
that a patch passes `policy` and `proof` outside it, and that a person merges. Source: agent.md §3.3, §6.2.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any, Literal, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soulcaster.fix_models import FailedCheck, Remark, Repository
from soulcaster.suspicion import find_suspicions

TEMPLATES = {"rules": 1, "diagnose": 1, "fix": 1, "repair": 1, "revise": 1, "review": 1}
"""Version of each template in use; the file is `<name>-<version>.md` and never changes once it was shipped."""

MOST_REPORTS, LONGEST_REPORT, LONGEST_BLOCK = 12, 2_000, 18_000
LONGEST_PLAN = 4_000
_LONGEST_TITLE = 200
_LONGEST_FAILURES, _LONGEST_PATCH, _LONGEST_DIAGNOSIS = 12_000, 120_000, 6_000
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_DATA_URI = re.compile(r"\bdata:[a-z]+/[\w.+-]+[^\s\"'<>)\]]*", re.IGNORECASE)
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})

StepName = Literal["diagnose", "fix", "repair", "revise", "review"]


class Quoted(NamedTuple):
    """A report as it may be quoted: no author, no address."""

    item_id: str
    source: str
    trust: str
    title: str
    body: str
    author: str | None = None


class FixAnswer(BaseModel):
    """What the fix step says it did; a claim, for the pull request's text after `plain` treatment."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    change: str = Field("", max_length=2000)
    addressed: list[str] = Field(default_factory=list, max_length=50)
    partly: list[str] = Field(default_factory=list, max_length=50)
    not_addressed: list[str] = Field(default_factory=list, max_length=50)
    unchecked: list[str] = Field(default_factory=list, max_length=10)
    paraphrases: list[str] = Field(default_factory=list, max_length=10)


def choose_reports(items: Sequence[Quoted]) -> list[Quoted]:
    """At most `MOST_REPORTS`, in the order given, one an author first; suspected injections and spam are left out."""
    if not items:
        return []
    suspected = find_orders([f"{item.title}\n\n{item.body}" for item in items])
    clean = [item for position, item in enumerate(items) if position not in suspected]
    seen: Counter[tuple[str, str]] = Counter()
    ranked = []
    for position, item in enumerate(clean):
        key = (item.source, item.author or item.item_id)
        ranked.append((seen[key], position, item))
        seen[key] += 1
    return [item for _, _, item in sorted(ranked, key=lambda each: each[:2])][:MOST_REPORTS]


def quote(items: Sequence[Quoted], fence: str) -> str:
    """The reports as one fenced block of data, labelled r1, r2, …; nothing in it can close the fence.

    Args:
        items: chosen ones.
        fence: a line nobody can know beforehand; drawn anew for each launch.
    """
    parts, left = [], LONGEST_BLOCK
    for number, item in enumerate(items, start=1):
        title = _line(item.title)
        body = plain(item.body)
        cut = body[: min(LONGEST_REPORT, max(left, 0))]
        note = " (cut)" if len(cut) < len(body) else ""
        text = f"[r{number}] source: {item.source}, trust: {item.trust}{note}\ntitle: {title}\n{cut}"
        parts.append(text.replace(fence, "[fence]"))
        left -= len(text)
        if left <= 0:
            break
    block = "\n\n".join(parts)
    return f"Reports, quoted as data, between the lines {fence}:\n{fence}\n{block}\n{fence}\nEnd of the reports."


def find_orders(texts: Sequence[str]) -> set[int]:
    """Positions of texts that look like injections or spam: they are quoted to no agent."""
    return set(find_suspicions(pl.Series(list(texts), dtype=pl.String))) if texts else set()


def quote_back(checks: Sequence[FailedCheck], remarks: Sequence[Remark], fence: str) -> str:
    """What came back on a pull request as text for between two fences; nothing in it can close them."""
    parts = [
        f"[check] {_line(check.name)}\n{plain(check.text)}" + (f"\n[its log]\n{plain(check.log)}" if check.log else "")
        for check in checks
    ]
    for number, remark in enumerate(remarks, start=1):
        where = f" on {_line(remark.path)}{f':{remark.line}' if remark.line else ''}" if remark.path else ""
        parts.append(f"[remark {number}]{where}\n{plain(remark.text)}")
    return "\n\n".join(parts).replace(fence, "[fence]")[:LONGEST_BLOCK]


def _line(text: str) -> str:
    return " ".join(plain(text)[:_LONGEST_TITLE].split())


def plain(text: str) -> str:
    """Text without what nobody sees (comments, controls, zero-width, direction), data URIs and our own braces."""
    text = _COMMENT.sub(" ", html.unescape(text).replace("\r\n", "\n"))
    text = _DATA_URI.sub("[data]", text)
    text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _UNSEEN)
    while "{{" in text or "}}" in text:
        text = text.replace("{{", "{ {").replace("}}", "} }")
    return text.strip()


def render(step: StepName, values: dict[str, str]) -> str:
    """The prompt of one step. `{{diagnosis}}` stays when no value is given: the agent fills it in.

    Values are put in once, so what looks like a placeholder in them stays text.
    """
    rules = _fill(_template("rules"), values)
    return _fill(_template(step), {**values, "rules": rules})


def make_values(
    repository: Repository, facts: str, reports: str, test_command: Sequence[str], *, fence: str, **more: str
) -> dict[str, str]:
    """Values of the templates that are the same for all steps."""
    folder = repository.path_prefix.strip("/")
    return {
        "repository": repository.name,
        "folder_rule": f"\n- Change nothing outside the folder {folder}/." if folder else "",
        "facts": facts,
        "reports": reports,
        "test_command": shlex.join(test_command) or "unknown; find out if you can",
        "fence": fence,
        "others": "none",
        **more,
    }


def describe(n_by_source: dict[str, int], culprits: Sequence[str], exceptions: Sequence[str]) -> str:
    """What we know of the cluster without quoting anybody; places in code are names, and nothing else passes."""
    counts = ", ".join(f"{count} from {source}" for source, count in sorted(n_by_source.items()))
    names = [each for each in dict.fromkeys([*exceptions, *culprits]) if re.fullmatch(r"[\w.:/()<>$ -]{1,120}", each)]
    return f"{counts}." + (f" Named by an error tracker: {'; '.join(names[:8])}." if names else "")


def hash_prompts() -> dict[str, str]:
    """sha256 of each template in use, by file name."""
    return {
        f"{name}-{version}": hashlib.sha256(_template(name).encode()).hexdigest() for name, version in TEMPLATES.items()
    }


def tell_plan(plan: str, fence: str) -> str:
    """What a person of the team wants done, as a paragraph for before the reports; empty without a plan."""
    told = plain(plan).replace(fence, "")[:LONGEST_PLAN]
    return f"What the team wants done here; when the code shows it wrong, stop and say why:\n{told}\n\n" if told else ""


def hash_brief(
    cluster_id: str, repository: Repository, evidence: Sequence[tuple[str, str | None]], plan: str = ""
) -> str:
    """sha256 of what a brief rests on: cluster, repository, its members with their text hashes, templates, plan."""
    told: dict[str, Any] = {
        "cluster": cluster_id,
        "repository": repository.name.casefold(),
        "items": sorted(f"{item_id}:{content_hash or ''}" for item_id, content_hash in evidence),
        "prompts": hash_prompts(),
    }
    if plan:
        told["plan"] = plan
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def trim_failures(tails: dict[str, str]) -> str:
    """The last lines of each run, within one length; plain text."""
    each = _LONGEST_FAILURES // max(len(tails), 1)
    return "\n\n".join(f"== {name}\n{plain(tail[-each:])}" for name, tail in tails.items())


def trim_diagnosis(diagnosis: dict[str, Any] | None) -> str:
    """The diagnosis as text for a later step."""
    if not diagnosis:
        return "none"
    shown = {key: diagnosis[key] for key in ("cause", "files", "reproduction") if diagnosis.get(key)}
    return plain(json.dumps(shown, ensure_ascii=False, indent=1))[:_LONGEST_DIAGNOSIS]


def trim_patch(patch: str) -> str:
    """The patch, cut to what a review may read."""
    return patch if len(patch) <= _LONGEST_PATCH else patch[:_LONGEST_PATCH] + "\n[cut]"


def parse_answer(text: str) -> FixAnswer:
    """The last JSON object of a fix step's answer; an empty answer when there is none that fits."""
    for value in _objects(text):
        if "change" in value:
            with contextlib.suppress(ValidationError):
                return FixAnswer.model_validate(value)
    return FixAnswer()


def parse_suggestion(text: str, allowed: Sequence[str]) -> str:
    """The allowed repository that a diagnosis names as the place of the cause; '' when it names none of them."""
    named = next((value["repository"] for value in _objects(text) if isinstance(value.get("repository"), str)), "")
    return next((name for name in allowed if name.casefold() == named.casefold()), "")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects in the text, the last one first."""
    decoder = json.JSONDecoder()
    for start in reversed([match.start() for match in re.finditer(r"\{", text)][-200:]):
        with contextlib.suppress(ValueError, RecursionError):
            value, _ = decoder.raw_decode(text[start:])
            if isinstance(value, dict):
                yield value


def _fill(template: str, values: dict[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def _template(name: str) -> str:
    file = resources.files("soulcaster.fixing.prompts").joinpath(f"{name}-{TEMPLATES[name]}.md")
    return file.read_text(encoding="utf-8")

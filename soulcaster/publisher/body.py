"""What a pull request says: what people reported, the cause, the change, the proof, what is open, how to stop us.

Every word that a stranger or a model may have chosen becomes plain text here: no markup, no mention, no reference,
no closing keyword, no clickable address, nothing invisible. Our block stands between two markers; the rest of a
body belongs to people.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from soulcaster.fix_models import Finding, Proof

LONGEST = 6000
BEGIN, END = "<!-- soulcaster:begin -->", "<!-- soulcaster:end -->"
_MOST_ISSUES, _MOST_LINKS, _MOST_FACTS, _LONGEST_LINK = 10, 12, 12, 200
_BREAK = "&#8203;"
"""Zero-width space: mentions and references are looked for in the rendered text, where an entity is a letter again."""
_MARKUP = frozenset("&<>`*_[]|~\\$#!")
_REFERENCE = re.compile(r"[@#]|://|www\.|GH-\d", re.IGNORECASE)
_RUN_NAMES = {
    "baseline": "base, as it is",
    "new_tests_on_base": "A: new tests on the base",
    "full_patch": "B: whole change",
    "old_tests_on_patch": "C: change with the original tests",
}
_VERDICTS = {
    "proved": "new tests fail on the base and pass with the change; the original tests still pass.",
    "regression_safe": "the original tests still pass; no new test shows the fault.",
    "unverified": "nothing was shown by tests.",
    "rejected": "the test runs speak against it.",
}


class FixSummary(BaseModel):
    """What a pull request tells about a fix. Texts may come from strangers and models; `render` makes them harmless."""

    model_config = ConfigDict(frozen=True)

    marker: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="Cluster id.")
    counts: dict[str, int] = Field(description="Reports by source.")
    paraphrases: list[str] = Field(default_factory=list, description="Up to three; no names, no quotes.")
    links: dict[str, str] = Field(default_factory=dict, description="Addresses of reports by the label that texts use.")
    issues: list[int] = Field(default_factory=list, description="Member issues of this very repository.")
    fixed_issues: list[int] = Field(
        default_factory=list, description="Those of them that the change addresses in full."
    )
    cause: str
    change: str
    proof: Proof
    addressed: list[str] = Field(default_factory=list)
    partly: list[str] = Field(default_factory=list)
    not_addressed: list[str] = Field(default_factory=list)
    untold: list[str] = Field(default_factory=list, description="Reports that nothing was said of.")
    unchecked: list[str] = Field(default_factory=list)
    findings: list[Finding] = Field(default_factory=list)
    provenance: dict[str, str] = Field(default_factory=dict, description="Job, tool, model, prompt hash, base commit.")


def render(summary: FixSummary) -> str:
    """The block with its markers, under 6,000 characters; the least needed sections give way first."""
    sections = [
        (0, f"{BEGIN}\n<!-- soulcaster:cluster {summary.marker} -->"),
        (0, _reports(summary)),
        (5, _links(summary.links)),
        (2, f"### Cause\n{plain(summary.cause, 600)}"),
        (2, f"### Change\n{plain(summary.change, 600)}"),
        (0, _proof(summary.proof)),
        (3, _coverage(summary)),
        (1, _listing("Not checked", summary.unchecked, 4)),
        (1, _listing("Held against it", [_objection(one) for one in summary.findings], 5)),
        (2, _references(summary)),
        (4, _provenance(summary.provenance)),
        (0, _STOP + END),
    ]
    while True:
        text = "\n\n".join(part for _, part in sections if part)
        if len(text) < LONGEST:
            return text
        sections.remove(max(sections, key=lambda section: section[0]))


_STOP = (
    "Made by Soulcaster from user feedback; a person reviews and merges. Close this pull request and it is not opened "
    "again; push to its branch and Soulcaster leaves it alone.\n"
)


def merge_block(present: str, ours: str) -> str:
    """A body whose block is ours and whose other text is as people left it.

    Without exactly one pair of markers in order the block is added at the end.
    """
    block = ours if ours.startswith(BEGIN) and ours.endswith(END) else f"{BEGIN}\n{ours}\n{END}"
    is_marked = present.count(BEGIN) == present.count(END) == 1 and present.index(BEGIN) < present.index(END)
    if is_marked:
        return present[: present.index(BEGIN)] + block + present[present.index(END) + len(END) :]
    return f"{present.rstrip()}\n\n{block}" if present.strip() else block


def plain(text: str, limit: int) -> str:
    """Text as inert Markdown on one line, at most `limit` characters of source.

    Source: GitHub's mention, reference and autolink filters see `@name`, `#1`, `GH-1`, `owner/name#1` and addresses in
    rendered text outside code; a zero-width space after the sign stops them, as update bots do it.
    """
    cleaned = " ".join(strip_invisible(text).split())
    pieces: list[str] = []
    length = 0
    for i, letter in enumerate(cleaned):
        piece = f"&#{ord(letter)};" if letter in _MARKUP else letter
        if _REFERENCE.match(cleaned, i):
            piece += _BREAK
        elif (i == 0 and letter in "+-=>") or (letter in ".)" and cleaned[:i].isdigit()):
            piece = f"&#{ord(letter)};"
        if length + len(piece) > limit - 1:
            return "".join(pieces) + "…"
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces)


def plain_line(text: str, limit: int) -> str:
    """Text for a title or a commit message: one line without mention, reference or address.

    Source: closing keywords work in titles of merges and commits too, before `#1`, `GH-1` and an issue's address.
    """
    line = " ".join(strip_invisible(text).split())
    line = re.sub(r"(?<!\w)@(?=\w)", "(at)", line)
    line = re.sub(r"#(?=\d)", "no. ", re.sub(r"\bGH-(?=\d)", "GH no. ", line, flags=re.IGNORECASE))
    line = re.sub(r"\b(https?)://", r"\1: ", line, flags=re.IGNORECASE)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def strip_invisible(text: str) -> str:
    """Text without control, zero-width, direction and private-use characters; line ends become spaces."""
    spaced = re.sub(r"[\s\u2028\u2029]", " ", unicodedata.normalize("NFC", text))
    return "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))


def _reports(summary: FixSummary) -> str:
    total = sum(summary.counts.values())
    parts = ", ".join(f"{n} from {plain(source, 40)}" for source, n in sorted(summary.counts.items())[:6])
    lines = [f"### What people reported\n{total} report{'' if total == 1 else 's'}: {parts}."]
    lines += [f"- {plain(text, 220)}" for text in summary.paraphrases[:3]]
    return "\n".join(lines)


def _links(links: dict[str, str]) -> str:
    safe = [f"{plain(label, 20)} {found}" for label, link in links.items() if (found := _link(link))]
    return f"Reports: {', '.join(safe[:_MOST_LINKS])}" if safe else ""


def _link(url: str) -> str:
    """A link named by its host; '' for what is no plain https address.

    An issue of another repository is linked by the way that leaves no trace there.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return ""
    if (
        parts.scheme != "https"
        or not re.fullmatch(r"[a-z0-9.-]{4,80}", host)
        or parts.username
        or len(url) > _LONGEST_LINK
    ):
        return ""
    target = "redirect.github.com" if host in ("github.com", "www.github.com") else host
    path = quote(parts.path, safe="/%-._~")
    query = f"?{quote(parts.query, safe='=&%-._~')}" if parts.query else ""
    return f"[{host}](https://{target}{path}{query})"


def _proof(proof: Proof) -> str:
    lines = [f"### Proof: {proof.verdict.replace('_', ' ')}", _VERDICTS[proof.verdict].capitalize()]
    lines[-1] += f" {plain(proof.reason, 250)}"
    if proof.command:
        lines.append(f"Command: <code>{plain(' '.join(proof.command), 200)}</code>")
    if proof.rows:
        lines += ["", "| run | expected | passed | failed | holds |", "|---|---|---|---|---|"]
    for row in proof.rows[:6]:
        counts = ["?" if n is None else str(n) for n in (row.n_passed, row.n_failed)]
        holds = {True: "yes", False: "**no**", None: "not told"}[row.holds]
        cells = [_RUN_NAMES[row.run], plain(row.expected, 60), *counts, f"{holds} {plain(row.detail, 80)}".strip()]
        lines.append(f"| {' | '.join(cells)} |")
    if proof.new_tests:
        lines += ["", f"New tests: {', '.join(plain(name, 90) for name in proof.new_tests[:4])}"]
    return "\n".join(lines)


def _coverage(summary: FixSummary) -> str:
    kinds = {
        "addressed": summary.addressed,
        "partly": summary.partly,
        "not addressed": summary.not_addressed,
        "nothing is said of": summary.untold,
    }
    lines = [f"- {kind}: {plain(', '.join(texts), 400)}" for kind, texts in kinds.items() if texts]
    return "\n".join(["### Which reports it addresses", *lines]) if lines else ""


def _listing(title: str, texts: list[str], most: int) -> str:
    more = [f"- and {len(texts) - most} more"] if len(texts) > most else []
    return "\n".join([f"### {title}", *(f"- {plain(text, 140)}" for text in texts[:most]), *more]) if texts else ""


def _objection(finding: Finding) -> str:
    where = f" in {finding.path}" if finding.path else ""
    return f"{finding.rule}{where}: {finding.detail}"


def _references(summary: FixSummary) -> str:
    """Closing words only for issues of this repository that are addressed in full, and only when the fix is proved."""
    closed = set(summary.fixed_issues) if summary.proof.verdict == "proved" else set()
    numbers = sorted((number for number in summary.issues if number > 0), key=lambda number: number not in closed)
    return "\n".join(f"{'Fixes' if number in closed else 'Refs'} #{number}" for number in numbers[:_MOST_ISSUES])


def _provenance(provenance: dict[str, str]) -> str:
    parts = [f"{plain(name, 30)} {plain(value, 80)}" for name, value in list(provenance.items())[:_MOST_FACTS]]
    return f"<sub>{'; '.join(parts)}</sub>" if parts else ""

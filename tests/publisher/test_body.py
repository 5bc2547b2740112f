"""What a pull request says: complete, short, and without one working word of a stranger."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulcaster.fix_models import Finding, Proof, ProofRow
from soulcaster.publisher.body import BEGIN, END, LONGEST, FixSummary, merge_block, plain, plain_line, render

HOSTILE = (
    "@everyone fixes #1, closes acme/notes#2 GH-3 https://evil.example/?q=1 www.evil.example\n# Title\n- item\n"
    "<img src=x onerror=alert(1)> [click](javascript:x) ![i](https://evil/x.png) `code` **bold** | cell | <!-- -->"
    f" {BEGIN} {END} \u202egnp.exe \u200b\u2066 $x$ ~~no~~ \\* &lt; team @acme/core mail@example.org"
)


def make_summary(**given_fields) -> FixSummary:
    """A summary with all its sections."""
    rows = [
        ProofRow(run="new_tests_on_base", expected="a test fails", n_passed=3, n_failed=1, exit_code=1, holds=True),
        ProofRow(run="full_patch", expected="all pass", n_passed=4, n_failed=0, exit_code=0, holds=True),
        ProofRow(run="old_tests_on_patch", expected="all pass", n_passed=None, n_failed=None, exit_code=0, holds=None),
    ]
    fields = {
        "marker": "c1a2b3c4", "counts": {"reddit": 3, "github": 1}, "paraphrases": ["Sums come out wrong."],
        "links": {"r1": "https://www.reddit.com/r/notes/1"}, "issues": [12], "fixed_issues": [12],
        "cause": "A minus.", "change": "A plus.",
        "proof": Proof(verdict="proved", reason="All three hold.", rows=rows, command=["python", "-m", "pytest"]),
        "addressed": ["Wrong sums", "More"], "partly": ["Slow sums"], "not_addressed": ["Dark mode"], "untold": ["r9"],
        "unchecked": ["Windows"], "findings": [Finding(rule="lockfile", path="x.lock", detail="was changed")],
        "provenance": {"job": "job-1", "tool": "kilo 7.7.7"}, **given_fields,
    }  # fmt: skip
    return FixSummary.model_validate(fields)


def test_the_body_tells_the_whole_story():
    """Counts, paraphrase, link, cause, change, proof table, coverage, gaps, objections, origin, how to stop us."""
    text = render(make_summary())

    for part in (
        "4 reports: 1 from github, 3 from reddit", "Sums come out wrong.", "r1 [www.reddit.com](https://www.reddit.com/r/notes/1)",
        "A minus.", "A plus.", "Proof: proved", "| A: new tests on the base | a test fails | 3 | 1 | yes |",
        "| C: change with the original tests | all pass | ? | ? | not told |", "python -m pytest",
        "- addressed: Wrong sums, More", "- partly: Slow sums", "- not addressed: Dark mode", "- Windows",
        "- nothing is said of: r9",
        "- lockfile in x.lock: was changed", "Fixes #12", "kilo 7.7.7", "Close this pull request",
    ):  # fmt: skip
        assert part in text
    assert (text.startswith(BEGIN), text.endswith(END)) == (True, True)


@pytest.mark.parametrize("verdict", ["regression_safe", "unverified", "rejected"])
def test_only_a_proved_fix_closes_issues(verdict):
    """Everything weaker only refers to them, to at most ten."""
    numbers = list(range(1, 20))
    text = render(make_summary(proof=Proof(verdict=verdict, reason=""), issues=numbers, fixed_issues=numbers))

    assert "Fixes" not in text
    assert 10 == len(re.findall(r"^Refs #\d+$", text, re.MULTILINE))


def test_a_proved_fix_closes_only_what_it_addresses_in_full():
    """Other member issues are referred to, after those that are closed."""
    text = render(make_summary(issues=[3, 7, 9], fixed_issues=[7]))

    assert ["Fixes #7", "Refs #3", "Refs #9"] == re.findall(r"^(?:Fixes|Refs) #\d+$", text, re.MULTILINE)


def shown(markdown: str) -> str:
    """What a reader sees of inert Markdown: entities are letters again."""
    return html.unescape(markdown)


def test_words_of_strangers_do_nothing():
    """In every field: no mention, reference, keyword, address, markup, marker; read by a person it says the same."""
    fields = ("cause", "change")
    lists = ("paraphrases", "addressed", "partly", "not_addressed", "untold", "unchecked")
    everywhere = dict.fromkeys(fields, HOSTILE) | {name: [HOSTILE] for name in lists}
    text = render(
        make_summary(
            **everywhere, links={HOSTILE: HOSTILE, "r1": "javascript:alert(1)", "r2": "http://plain.example",
                                 "r3": "https://u:p@host.example/"},
            counts={HOSTILE: 1}, provenance={HOSTILE: HOSTILE},
            findings=[Finding(rule="x", path=HOSTILE, detail=HOSTILE)],
            issues=[], proof=Proof(verdict="proved", reason=HOSTILE, command=[HOSTILE], new_tests=[HOSTILE]),
        )
    )  # fmt: skip

    inside = text.removeprefix(BEGIN).removesuffix(END)
    assert BEGIN not in inside
    assert END not in inside
    for word in (r"(?<![\w`])@\w", r"#\d", r"\bGH-\d", r"https?://", r"\bwww\."):
        assert not re.search(word, shown(inside), re.IGNORECASE), word
    assert not re.search(r"<(?!!-- soulcaster:cluster|/?sub>|/?code>)", inside)
    assert not set("\u202e\u200b\u2066") & set(inside)
    assert len(text) < LONGEST


@given(st.text(max_size=400), st.integers(5, 300))
def test_plain_text_is_inert_and_short_whatever_comes(text, limit):
    """One line, never longer than asked for, no character that Markdown or GitHub would act on."""
    made = plain(text, limit)

    assert len(made) <= limit
    assert not set(made) & set("<>`*_[]|~\\$!\n\r")
    assert not re.search(r"@(?!&#8203;)", made)
    assert not re.search(r"://|^\s*[-+=>]|^\d+[.)]", made)
    assert not re.search(r"&(?!#\d+;)", made)


@given(st.text(max_size=300))
def test_a_title_mentions_and_closes_nothing(text):
    """One line within its limit; whatever was in it names nobody and no issue."""
    made = plain_line(text, 100)

    assert len(made) <= 100
    assert not re.search(r"(?<!\w)@\w|#\d|GH-\d|https?://|[\n\r]", made)


@given(st.lists(st.text(alphabet="@#<&a\u202e", max_size=900), min_size=1, max_size=40))
def test_a_body_is_never_too_long(texts):
    """Under 6,000 characters however much there is to say; proof and the way to stop us always stay."""
    made = render(
        make_summary(
            cause=texts[0] * 9, change=texts[0] * 9, paraphrases=texts, addressed=texts, partly=texts,
            not_addressed=texts, untold=texts, unchecked=texts,
            provenance={str(i): text for i, text in enumerate(texts)},
        )
    )  # fmt: skip

    assert len(made) < LONGEST
    assert "### Proof" in made
    assert "Close this pull request" in made


def test_an_issue_elsewhere_gets_no_trace_of_us():
    """Addresses at GitHub go the way that leaves no back-reference in other people's repositories."""
    text = render(make_summary(links={"r1": "https://github.com/other/project/issues/5"}))

    assert "(https://redirect.github.com/other/project/issues/5)" in text


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ("", f"{BEGIN}\nnew\n{END}"),
        ("  \n", f"{BEGIN}\nnew\n{END}"),
        ("mine", f"mine\n\n{BEGIN}\nnew\n{END}"),
        (f"a {BEGIN}old{END} b", f"a {BEGIN}\nnew\n{END} b"),
        (f"a {END}{BEGIN} b", f"a {END}{BEGIN} b\n\n{BEGIN}\nnew\n{END}"),
        (f"a {BEGIN} b", f"a {BEGIN} b\n\n{BEGIN}\nnew\n{END}"),
    ],
)
def test_only_our_block_is_rewritten(present, expected):
    """What stands around the markers stays, to the letter; broken markers are people's text."""
    assert expected == merge_block(present, "new")


@given(st.text(max_size=60), st.text(max_size=60))
def test_rewriting_twice_is_rewriting_once(before, after):
    """The block is found again, so a rerun changes nothing."""
    block = render(make_summary())
    once = merge_block(f"{before}{block}{after}", block)

    assert once == merge_block(once, block)

"""Names of clusters without a model: plain, telling, unlike their siblings', and only where something changed."""

from __future__ import annotations

import re

import grouping_store as made
import numpy as np
import polars as pl
import pytest

from soulcaster.clustering.naming import name_clusters, with_plain_text
from soulcaster.clustering.plain import pick_title, plain_text, shorten
from soulcaster.recluster import recluster
from soulcaster.summarize import summarize

TOPICS = {
    "print": [
        ("Printing cuts off the right margin", "When I print a letter the right margin is cut off. It happens on A4."),
        ("Right margin lost when printing", "The printer leaves out the right margin of every page. Please help."),
    ],
    "login": [
        ("Login fails after password reset", "I reset my password and now the login says it is wrong. Tried twice."),
        ("Cannot login since the reset", "After the password reset no login works for me any more."),
    ],
    "dark": [
        ("Dark theme is unreadable", "In the dark theme grey text stands on black. My eyes hurt after a minute."),
        ("Grey on black in dark theme", "The dark theme shows grey text on a black page."),
    ],
}


def _seed(settings, topics):
    rows, vectors = [], []
    for number, (name, texts) in enumerate(topics.items()):
        for place, (title, body) in enumerate(texts):
            rows.append(made.row(f"{name}-{place}", title, body))
            vectors.append(np.eye(40)[number] + 0.1 * np.eye(40)[20 + place])
    made.add_items(settings, rows)
    made.add_vectors(settings, [str(row["content_hash"]) for row in rows], np.array(vectors))


def _names(settings):
    return {
        external_id.rsplit("-", 1)[0]: rest
        for external_id, *rest in made.query(
            settings,
            "SELECT i.external_id, c.title, c.summary, c.terms, c.summary_method "
            "FROM published_memberships m JOIN items i USING (item_id) JOIN clusters c USING (cluster_id)",
        )
    }


def test_every_cluster_gets_title_summary_and_terms_from_its_own_texts(settings):
    """The title is one of the cluster's own, the terms tell it from others, the summary has one to three sentences."""
    _seed(settings, TOPICS)
    recluster(settings, made.PROJECT)

    report = summarize(settings, made.PROJECT)

    assert (3, 3, "extractive") == (report.n_clusters, report.n_titled, report.method)
    names = _names(settings)
    for topic, (title, summary, terms, method) in names.items():
        assert title in [own for own, _ in TOPICS[topic]]
        assert "extractive" == method
        assert 1 <= len(re.findall(r"[.!?…](?:\s|$)", summary)) <= 3
        assert summary.removesuffix(".") != title
        assert 3 <= len(terms) <= 6
    assert "margin" in names["print"][2]
    assert "login" in names["login"][2]
    assert "the" not in names["dark"][2]


def test_a_second_pass_names_nothing(settings):
    """Titles are written for a state of the members; the same state is not named again."""
    _seed(settings, TOPICS)
    recluster(settings, made.PROJECT)
    summarize(settings, made.PROJECT)
    before = made.query(settings, "SELECT * FROM clusters ORDER BY cluster_id")

    assert 0 == summarize(settings, made.PROJECT).n_titled
    recluster(settings, made.PROJECT)
    assert 0 == summarize(settings, made.PROJECT).n_titled
    assert before == made.query(settings, "SELECT * FROM clusters ORDER BY cluster_id")
    assert [] == made.query(settings, "SELECT * FROM themes WHERE title IS NULL")


def test_only_the_cluster_that_got_an_item_is_named_anew(settings):
    """One new report, one new title."""
    _seed(settings, TOPICS)
    recluster(settings, made.PROJECT)
    summarize(settings, made.PROJECT)
    made.add_items(settings, [made.row("login-9", *TOPICS["login"][0], source="reddit")])
    recluster(settings, made.PROJECT)

    assert 1 == summarize(settings, made.PROJECT).n_titled


@pytest.mark.parametrize("project", ["acme", "nobody"])
def test_without_a_cluster_there_is_nothing_to_name(settings, project):
    """An empty project and one without a run are no error."""
    recluster(settings, made.PROJECT)

    assert 0 == summarize(settings, project).n_clusters


def test_clusters_with_the_same_title_are_told_apart(settings):
    """A title that repeats carries the term that tells it apart."""
    _seed(settings, {
        "a": [("App crashes", "It crashes when I rotate the phone."), ("App crashes", "Crash on rotate again.")],
        "b": [("App crashes", "It crashes when I upload a photo."), ("App crashes", "Crash on upload again.")],
        "c": [("app crashes", "It crashes when I print."), ("App crashes", "Crash on print again.")],
    })  # fmt: skip
    recluster(settings, made.PROJECT)

    summarize(settings, made.PROJECT)

    titles = [title for title, *_ in _names(settings).values()]
    assert 3 == len({title.casefold() for title in titles})
    assert all(title.casefold().startswith("app crashes") for title in titles)


def test_themes_are_titled_by_what_sets_them_apart(settings):
    """A theme of several clusters has terms for a title, a theme of one has its cluster's title."""
    rows = [
        made.row(f"{topic}-{place}", f"{word} {topic} {place}", f"The {word} shows {topic} again.")
        for topic, word in (("jam", "printer"), ("ink", "printer"), ("typo", "manual"))
        for place in range(2)
    ]
    made.add_items(settings, rows)
    vectors = [[1, 0, 0], [1, 0.01, 0], [0.45, 0.9, 0], [0.44, 0.9, 0], [0, 0, 1], [0, 0.01, 1]]
    made.add_vectors(settings, [str(row["content_hash"]) for row in rows], np.array(vectors))
    recluster(settings, made.PROJECT)

    summarize(settings, made.PROJECT)

    titles = dict(made.query(settings, "SELECT n_clusters, title FROM themes"))
    assert {1, 2} == set(titles)
    assert "printer" in titles[2].casefold()
    assert "Manual typo 0" == titles[1]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("<img src=x onerror=alert(1)>Crash", "Crash"),
        ("&lt;script&gt;alert(1)&lt;/script&gt; It fails", "It fails"),
        ("<svg/onload=alert(1)", "Svg/onload=alert(1)"),
        ("[click me](javascript:alert(1)) to crash", "Click me to crash"),
        ("## **Bug**: `save()` loses __data__", "Save() loses data"),
        ("[BUG] [iOS] app freezes", "App freezes"),
        ("> quoted crash", "Quoted crash"),
        ("| cell | two |", "Cell two"),
        ("a < b and c > d fails", "A < b and c > d fails"),
        ("rename my_var_name breaks", "Rename my_var_name breaks"),
        ("crash\u202egpj.exe\u200b\x00 now", "Crashgpj.exe now"),
        ("see https://evil.example/x?y=1 please", "See please"),
    ],
)
def test_a_hostile_title_becomes_plain_text(title, expected):
    """No HTML, no Markdown, no link, nothing invisible."""
    assert expected == pick_title(plain_text(title), "")


def test_a_report_without_title_is_titled_by_its_first_sentence():
    """Typed feedback often has no title; rows of signs are no sentence."""
    assert "The map is blank" == pick_title("", "!!!\n\nHelp! the map is blank. It was fine before.")
    assert "" == pick_title("", "???")


def test_titles_are_cut_between_words():
    """At most 80 characters, with an ellipsis; a text without blanks is cut anyway."""
    assert "word word…" == shorten("word word word", 12)
    assert 80 == len(pick_title("x" * 5_000, ""))
    assert len(pick_title("many words " * 50, "")) <= 80


def test_plain_text_is_quick_on_hostile_input():
    """No pattern backtracks for seconds on a stranger's text."""
    for hostile in ("<a" * 10_000, "[" * 20_000, "[a](" * 5_000, "((" * 10_000, "`" * 20_000, "![](" + "(" * 20_000):
        assert len(plain_text(hostile)) <= len(hostile)


def test_a_cluster_without_a_readable_text_still_has_a_name():
    """Signs only: the count says what little there is to say."""
    clusters = pl.DataFrame({"cluster_id": ["c"], "n_items": [3], "membership_hash": ["h"], "title": [None]})
    texts = pl.DataFrame({"cluster_id": ["c"], "title": ["???"], "body": ["!!!"]})

    [named] = name_clusters(clusters, with_plain_text(texts), {"c"}).to_dicts()

    assert "3 reports without readable text" == named["title"]
    assert [] == named["terms"]


def test_a_thousand_equal_titles_stay_apart():
    """Uniqueness ends, and no title is longer than allowed."""
    ids = [str(number) for number in range(1_000)]
    clusters = pl.DataFrame(
        {"cluster_id": ids, "n_items": [2] * 1_000, "membership_hash": ids, "title": pl.Series([None] * 1_000)}
    )
    texts = pl.DataFrame({"cluster_id": ids, "title": ["Crash " * 20] * 1_000, "body": [""] * 1_000})

    named = name_clusters(clusters, with_plain_text(texts), set(ids))

    assert 1_000 == named["title"].n_unique()
    assert named["title"].str.len_chars().max() <= 80

"""Titles, summaries and terms of clusters out of their own texts, without a model. Equal input, equal names.

Takes frames, gives frames; whatever names clusters by a model later takes and gives the same.
Terms are class-based TF-IDF: frequent in the cluster's texts, rare in all others. Source: Grootendorst 2022, BERTopic.
"""

from __future__ import annotations

import re
from itertools import chain, count

import numpy as np
import polars as pl
from scipy.sparse import coo_array, csr_array
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

from soulcaster.clustering.plain import pick_title, plain_text, sentences, shorten

METHOD = "extractive"
_N_TERMS = 6
_N_SENTENCES = 3
_SHARED_BY = 2
_WORD = r"(?u)\b[^\W\d_][^\W_]+(?:[-'\u2019][^\W\d_]+)*\b"
_SENTENCE_CHARS = (25, 240)
_TITLE_CHARS, _LONGEST_EXTRA = 80, 40


def with_plain_text(texts: pl.DataFrame) -> pl.DataFrame:
    """`texts` with plain_title and plain_body: what `name_clusters` and `name_themes` read instead of the markup."""
    return texts.with_columns(
        plain_title=pl.Series([plain_text(title) for title in texts["title"]], dtype=pl.String),
        plain_body=pl.Series([plain_text(body) for body in texts["body"]], dtype=pl.String),
    )


def name_clusters(clusters: pl.DataFrame, texts: pl.DataFrame, stale: set[str]) -> pl.DataFrame:
    """Columns cluster_id, title, summary, terms, summary_method, summarized_hash for the clusters in `stale`.

    No two clusters get the same title, nor one that an unchanged cluster has.

    Args:
        clusters: cluster_id, label, n_items, membership_hash, title; all clusters of the run, in the order of labels.
        texts: cluster_id, plain_title, plain_body; the best texts of every cluster, best first.
        stale: ids of the clusters to name; the others only weigh how rare a term is.
    """
    terms = dict(zip(clusters["cluster_id"], _terms(clusters, texts, "cluster_id"), strict=True))
    members = texts.filter(pl.col("cluster_id").is_in(list(stale))).partition_by("cluster_id", as_dict=True)
    kept = clusters.filter(~pl.col("cluster_id").is_in(list(stale)))
    taken = {title.casefold() for title in kept["title"].drop_nulls()}
    named = []
    for row in clusters.filter(pl.col("cluster_id").is_in(list(stale))).iter_rows(named=True):
        found = members.get((row["cluster_id"],), texts.clear())
        words = terms[row["cluster_id"]]
        title = unique_title(_title(found, words, row["n_items"]), words, taken)
        named.append(
            {
                "cluster_id": row["cluster_id"],
                "title": title,
                "summary": _summary(found, words, title),
                "terms": words,
                "summary_method": METHOD,
                "summarized_hash": row["membership_hash"],
            }
        )
    schema = dict.fromkeys(("cluster_id", "title", "summary", "terms", "summary_method", "summarized_hash"), pl.String)
    return pl.DataFrame(named, schema={**schema, "terms": pl.List(pl.String)})


def name_themes(clusters: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    """Columns theme_id, title: the terms that set a theme apart; a theme of one cluster bears that cluster's title.

    Args:
        clusters: cluster_id, theme_id, title; all clusters of the run, named.
        texts: cluster_id, plain_title, plain_body.
    """
    themes = clusters.group_by("theme_id", maintain_order=True).agg(pl.len().alias("n"), pl.col("title").first())
    of_theme = texts.join(clusters.select("cluster_id", "theme_id"), on="cluster_id", maintain_order="left")
    taken: set[str] = set()
    titles = []
    for (n, title), words in zip(themes.select("n", "title").rows(), _terms(themes, of_theme, "theme_id"), strict=True):
        several = ", ".join(words[:3])
        chosen = title if n == 1 or not several else several[0].upper() + several[1:]
        titles.append(unique_title(chosen, words[3:], taken))
    return pl.DataFrame({"theme_id": themes["theme_id"], "title": pl.Series(titles, dtype=pl.String)})


def _terms(classes: pl.DataFrame, texts: pl.DataFrame, key: str) -> list[list[str]]:
    """For each row of `classes` its most telling words, best first, ties by alphabet."""
    rows = pl.DataFrame({key: classes[key], "row": np.arange(classes.height)})
    placed = texts.join(rows, on=key, maintain_order="left")
    plain = placed.select(pl.concat_str("plain_title", "plain_body", separator="\n")).to_series().to_list()
    counter = CountVectorizer(
        token_pattern=_WORD, stop_words=sorted(ENGLISH_STOP_WORDS), binary=True, ngram_range=(1, 1), dtype=np.float64
    )
    if not any(counter.build_analyzer()(text) for text in plain):
        return [[] for _ in range(classes.height)]
    counts = csr_array(counter.fit_transform(plain))
    words = counter.get_feature_names_out()
    into = (np.ones(len(plain)), (placed["row"].to_numpy(), np.arange(len(plain))))
    by_class = csr_array(coo_array(into, shape=(classes.height, len(plain))).tocsr() @ counts)
    per_class = np.asarray(by_class.sum(axis=1)).ravel()
    everywhere = np.asarray(by_class.sum(axis=0)).ravel()
    rarity = np.log1p(per_class.sum() / classes.height / everywhere)
    result = []
    for start, stop in zip(by_class.indptr[:-1], by_class.indptr[1:], strict=True):
        column = by_class.indices[start:stop]
        weight = np.round(by_class.data[start:stop] * rarity[column], 9)
        is_lone = by_class.data[start:stop] < _SHARED_BY  # a word that one text alone uses says little of the others
        result.append([str(words[at]) for at in column[np.lexsort((words[column], -weight, is_lone))][:_N_TERMS]])
    return result


def _title(texts: pl.DataFrame, terms: list[str], n_items: int) -> str:
    for title, body in texts.select("plain_title", "plain_body").iter_rows():
        if made := pick_title(title, body, most_chars=_TITLE_CHARS):
            return made
    return ", ".join(terms[:3]).capitalize() or f"{n_items} reports without readable text"


def unique_title(title: str, terms: list[str], taken: set[str]) -> str:
    """`title`, or with the most telling term it lacks, or with a number; its casefolded form is added to `taken`."""
    lowered = title.casefold()
    missing = (term for term in terms if term.casefold() not in lowered and len(term) <= _LONGEST_EXTRA)
    made = title
    for extra in chain(missing, map(str, count(2))):
        if made.casefold() not in taken:
            break
        made = f"{shorten(title, _TITLE_CHARS - len(extra) - 3)} ({extra})"
    taken.add(made.casefold())
    return made


def _summary(texts: pl.DataFrame, terms: list[str], title: str) -> str:
    """One to three sentences, the most telling one of each text, best texts first."""
    shortest, longest = _SENTENCE_CHARS
    chosen: list[str] = []
    seen = [_words(title)]
    for own_title, body in texts.select("plain_title", "plain_body").iter_rows():
        own = sentences(body) or sentences(own_title)
        fit = [part for part in own if shortest <= len(part) and _is_prose(part)] or own
        for part in sorted(fit, key=lambda part: -_weight(part, terms)):
            words = _words(part)
            if all(len(words & other) <= 0.7 * min(len(words), len(other)) for other in seen) and words:
                chosen.append(_ended(shorten(part, longest)))
                seen.append(words)
                break
        if len(chosen) == _N_SENTENCES:
            break
    return " ".join(chosen) or _ended(title)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _is_prose(text: str) -> bool:
    """Mostly letters and blanks: a log line or a table is not a sentence."""
    return sum(character.isalpha() or character.isspace() for character in text) >= 0.8 * len(text)


def _weight(text: str, terms: list[str]) -> float:
    words = _words(text)
    return sum(1 / (1 + rank) for rank, term in enumerate(terms) if term in words)


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…", "\u3002", "\uff01", "\uff1f")) else text + "."

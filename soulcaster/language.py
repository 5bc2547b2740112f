"""Which language a text is in, as an ISO 639-1 code or 'und': cheap rules first, a classifier only for what they leave.

Pure: a column in, a column out. Plain English and other scripts are told by regexes over the whole column; `py3langid`
(loaded on first need) sees only the rest. Texts too short to tell are 'und'.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import polars as pl

_SAMPLE_CHARS = 800
_SHORT_LETTERS = 24
_CLASSIFIED_LETTERS = 120

# fmt: off  one code a line would be a page
_CLASSIFIED = (
    "ar",
    "bg",
    "bn",
    "ca",
    "cs",
    "da",
    "de",
    "el",
    "en",
    "es",
    "et",
    "fa",
    "fi",
    "fr",
    "he",
    "hi",
    "hr",
    "hu",
    "id",
    "it",
    "ja",
    "ko",
    "lt",
    "lv",
    "mk",
    "ms",
    "nl",
    "no",
    "pl",
    "pt",
    "ro",
    "ru",
    "sk",
    "sl",
    "sr",
    "sv",
    "ta",
    "te",
    "th",
    "tr",
    "uk",
    "ur",
    "vi",
    "zh",
)
# fmt: on
"""The classifier knows hundreds of tongues and mistakes logs for rare ones; these are what trackers see."""

_FOREIGN_WORDS = 2
"""One may be a name ("Las Vegas"); two are a reason to ask the classifier."""

_NOISE = r"(?s)```.*?```|<[^<>]{1,300}>|https?://\S+|`[^`\n]*`|(?m)^\s*\|.*\|\s*$"
_ENGLISH = (
    r"(?i)\b(?:the|and|this|that|with|you|your|my|it'?s|i'?m|is|are|what|how|when|why|which|from|doesn'?t|don'?t|can'?t"
    r"|cannot|won'?t|does|not|have|has|been|would|should|could|after|because|into|their|there|of|to|for|any|if|just)\b"
)
_FOREIGN_ASCII = (
    r"(?i)\b(?:der|das|und|ist|nicht|ein|eine|mit|auf|wird|wenn|ich|beim|le|les|des|est|une|dans|pour|pas|avec|sur"
    r"|el|los|las|una|por|que|del|con|para|como|cuando|uma|nao|ao|quando|il|di|della|het|een"
    r"|van|niet|voor|och|att|det|inte|ikke|til|og|jeg|nie|jest|sie|yang|tidak|saya|untuk|bir|icin)\b"
)
_SCRIPTS: tuple[tuple[str, str], ...] = (
    ("ja", r"[\p{Hiragana}\p{Katakana}]"),
    ("ko", r"\p{Hangul}"),
    ("zh", r"\p{Han}"),
    ("th", r"\p{Thai}"),
    ("he", r"\p{Hebrew}"),
    ("el", r"\p{Greek}"),
    ("ka", r"\p{Georgian}"),
    ("hy", r"\p{Armenian}"),
)
_SCRIPT_LETTERS = 4
_SCRIPT_SHARES = {"zh": 0.05, "ja": 0.02, "ko": 0.08}
_SCRIPT_SHARE = 0.2
"""Share of the letters that settles it; small, because reports come in English templates and Han letters say more each.
Japanese mixes its own letters with Han, so it needs the smallest share and comes first."""


def detect_languages(texts: pl.Series) -> pl.Series:
    """String series of the same length: ISO 639-1 code or 'und'."""
    frame = pl.DataFrame({"text": texts.str.head(_SAMPLE_CHARS)})
    text = pl.col("text")
    # A name or a "café" makes no English text foreign: one accented letter for three function words, or in a hundred.
    is_plain = (pl.col("accented") * 3 <= pl.col("english")) | (pl.col("accented") * 100 <= text.str.len_chars())
    frame = frame.with_columns(
        accented=text.str.count_matches(r"[\p{L}&&[^\x00-\x7F]]"),
        english=text.str.count_matches(_ENGLISH),
        foreign=text.str.count_matches(_FOREIGN_ASCII),
    ).with_columns(
        language=pl.when(is_plain & (pl.col("english") > 0) & (pl.col("english") >= pl.col("foreign")))
        .then(pl.lit("en"))
        .when(is_plain & (pl.col("foreign") < _FOREIGN_WORDS) & (text.str.len_chars() < _CLASSIFIED_LETTERS))
        .then(pl.lit("und"))
    )
    language = frame["language"].to_list()
    rest = frame["language"].is_null().arg_true()
    for index, code in zip(rest, _detect_rest(frame["text"].gather(rest)), strict=True):
        language[index] = code
    return pl.Series("language", language, dtype=pl.String)


def _detect_rest(texts: pl.Series) -> list[str]:
    """Codes for texts that are not plainly English: scripts by their letters, then the classifier."""
    if texts.is_empty():
        return []
    text = pl.col("text")
    frame = pl.DataFrame({"text": texts.str.replace_all(_NOISE, " ")}).with_columns(
        letters=text.str.count_matches(r"\p{L}"),
        **{code: text.str.count_matches(pattern) for code, pattern in _SCRIPTS},
    )
    by_script = pl.coalesce(
        pl.when(
            (pl.col(code) >= _SCRIPT_LETTERS)
            & (pl.col(code) >= _SCRIPT_SHARES.get(code, _SCRIPT_SHARE) * pl.col("letters"))
        ).then(pl.lit(code))
        for code, _ in _SCRIPTS
    )
    frame = frame.with_columns(language=by_script)
    return [
        code or ("und" if letters < _SHORT_LETTERS else _classify(text))
        for code, letters, text in frame.select("language", "letters", "text").iter_rows()
    ]


@cache
def _classifier() -> Any:  # noqa: ANN401  the library is untyped
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(list(_CLASSIFIED))
    return identifier


def _classify(text: str) -> str:
    return str(_classifier().classify(text)[0])

"""What a text has in common with its neighbours, in words a person can check."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

_WORD = re.compile(r"[^\W\d_][\w'-]{2,}")


def shared_terms(text: str, others: Sequence[str], *, limit: int = 8) -> list[str]:
    """Words of `text` that some of `others` have too: those that most of them have first, then by their place in it.

    English stop words and words of fewer than three letters are left out.
    """
    own = list(dict.fromkeys(_words(text)))
    counts = Counter(word for other in others for word in set(_words(other)))
    found = [word for word in own if counts[word]]
    return sorted(found, key=lambda word: -counts[word])[:limit]


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if word not in ENGLISH_STOP_WORDS]

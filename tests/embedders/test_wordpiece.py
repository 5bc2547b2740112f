"""Our tokenizer against ids recorded from the tokenizer.json published with the model."""

import json
from pathlib import Path

import pytest

from soulcaster.embedders.wordpiece import make_tokenizer

REFERENCE = json.loads((Path(__file__).parent / "reference_ids.json").read_text())


@pytest.mark.parametrize("case", REFERENCE, ids=lambda case: ascii(case["text"][:20]))
def test_ids_equal_the_published_tokenizer(case: dict) -> None:
    """Accents, other scripts, code, overlong words and the cut at 256 tokens come out as in the reference."""
    assert make_tokenizer(max_tokens=256).encode(case["text"]).ids == case["ids"]


def test_a_control_token_in_a_text_is_ordinary_text() -> None:
    """A stranger's '[SEP]' is not the separator's id."""
    ids = make_tokenizer().encode("before [SEP] after [CLS] [MASK]").ids
    assert ids[0] == 101
    assert ids[-1] == 102
    assert not {100, 101, 102, 103} & set(ids[1:-1])


def test_without_a_limit_nothing_is_cut() -> None:
    """The static model reads whole texts."""
    assert len(make_tokenizer().encode("word " * 1000, add_special_tokens=False).ids) == 1000

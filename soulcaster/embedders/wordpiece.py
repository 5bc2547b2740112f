"""BERT's uncased WordPiece tokenizer from the vocabulary file in `assets`; both local models read text through it.

A bracketed name such as `[SEP]` inside a text is ordinary text here, never a control token: texts come from strangers.
"""

from __future__ import annotations

from importlib import resources

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from soulcaster.errors import PermanentError

N_TOKENS = 30_522
_CLS, _SEP = 101, 102
_UNKNOWN = "[UNK]"


def make_tokenizer(*, max_tokens: int | None = None) -> Tokenizer:
    """A tokenizer that puts `[CLS]` and `[SEP]` around each text (when asked to add special tokens) and never pads.

    Args:
        max_tokens: longer texts are cut to this many ids, both special tokens included; None for no cut.

    Raises:
        PermanentError: the vocabulary file is missing or damaged.

    Source: the tokenizer.json published with all-MiniLM-L6-v2 (lower case, accents stripped, words over 100 characters
    are unknown); a test compares ids with that file's.
    """
    lines = resources.files("soulcaster.embedders.assets").joinpath("vocab.txt").read_text(encoding="utf-8").split("\n")
    vocabulary = {token: index for index, token in enumerate(lines[:-1])}
    if len(vocabulary) != N_TOKENS or vocabulary.get("[CLS]") != _CLS or vocabulary.get("[SEP]") != _SEP:
        raise PermanentError(
            f"Reading the vocabulary 'vocab.txt' gave {len(vocabulary)} tokens, expected {N_TOKENS}; "
            "reinstall soulcaster."
        )
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token=_UNKNOWN, max_input_chars_per_word=100))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", _CLS), ("[SEP]", _SEP)]
    )
    if max_tokens is not None:
        tokenizer.enable_truncation(max_tokens)
    return tokenizer

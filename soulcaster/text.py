"""Hygiene at the door: what is removed, masked, cut and noted before a text is stored, and what is held back.

Owns `embedding_text` and `clean`. Pure: frames in, frames out; opens nothing, decides nothing about storage.
"""

from __future__ import annotations

import polars as pl


def embedding_text(title: str, body: str) -> str:
    """The text that is embedded and hashed: title, blank line, body; either may be empty."""
    return f"{title}\n\n{body}" if title and body else title or body


def clean(frame: pl.DataFrame, *, max_body_chars: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Kept rows (`ITEM_SCHEMA` + `CLEAN_COLUMNS`) and quarantined rows (the same + `reason`, `detail`).

    Args:
        frame: raw item frame; columns beyond `ITEM_SCHEMA` (such as a location) pass through.
        max_body_chars: longer bodies are cut, and noted.
    """
    raise NotImplementedError

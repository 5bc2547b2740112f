"""Budgets, retention and every other setting: what holds now, and which variable changes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import streamlit as st
from pydantic import SecretStr

from app import queries
from app.words import ROW_PIXELS, number, plain, table_height, told
from soulcaster.db.jobs import sum_spent
from soulcaster.repositories import find_switches_off
from soulcaster.retain import days_kept
from soulcaster.settings import Settings, load_settings

_KINDS = {
    "payloads": "raw payloads", "quarantine": "held rows", "answers": "answers of the model",
    "activity": "the activity log", "jobs": "folders of ended fixes", "logs": "log files",
}  # fmt: skip


def show() -> None:
    """What was used of the budgets, the switches, what is kept how long, and the table of all settings."""
    settings = queries.brief_settings()
    with told():
        _switches(settings)
    with told():
        show_budget(settings)
    st.subheader("Kept how long", anchor=False)
    st.markdown(
        f"Every grouping is kept for **{settings.keep_runs_days:g} days** (`SOULCASTER_KEEP_RUNS_DAYS`), those once on "
        f"show for ever; of those never shown the newest **{settings.keep_proposals}** stay "
        "(`SOULCASTER_KEEP_PROPOSALS`). Feedback is kept until its source takes it back "
        "or `soulcaster erase` forgets a person. " + _days(days_kept(settings))
    )
    st.subheader("All settings", anchor=False, help="As the app reads them; the worker reads its own environment.")
    _table(load_settings())


def _days(kept: dict[str, float]) -> str:
    """Days by kind as one sentence, each with the variable that changes it."""
    parts = (
        f"{_KINDS[kind]} {f'{days:g} days' if days else 'for ever'} (`SOULCASTER_KEEP_{kind.upper()}_DAYS`)"
        for kind, days in kept.items()
    )
    return "Besides: " + ", ".join(parts) + "."


def show_budget(settings: Settings) -> None:
    """Bars of what jobs used in the last 24 hours."""
    day_ago = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(days=1)
    spent = queries.ask(sum_spent, queries.project(), since=day_ago)
    money, tokens = settings.fix_cost_per_day_usd, settings.fix_tokens_per_day
    shares = {
        f"$ {spent.cost_usd:.2f} of $ {money:g}": spent.cost_usd / money,
        f"{number(spent.n_tokens)} of {number(tokens)} tokens": spent.n_tokens / tokens,
    }
    with st.container(horizontal=True, gap="medium"):
        for label, share in shares.items():
            st.progress(min(1.0, share), plain(f"Fixes in 24 hours: {label}"), width=330)


def _switches(settings: Settings) -> None:
    off = find_switches_off(settings) if settings.duckdb_path.exists() else {}
    for why in off.values():
        if why:
            st.error(plain(why), icon="🛑")
    st.page_link("screens/fixes.py", label="Emergency switches are on the page Fixes", icon="🛑")


def _table(settings: Settings) -> None:
    rows = [
        {
            "variable": f"SOULCASTER_{name.upper()}",
            "value": _shown(getattr(settings, name)),
            "default": _shown(field.default),
            "meaning": field.description or "",
        }
        for name, field in Settings.model_fields.items()
    ]
    table = pl.DataFrame(rows).with_columns(
        pl.when(pl.col("value") == pl.col("default")).then(pl.lit("")).otherwise(pl.lit("●")).alias("changed")
    )
    config = st.column_config
    st.dataframe(
        table,
        key="settings",
        hide_index=True,
        row_height=ROW_PIXELS,
        height=table_height(table.height, most=14),
        column_order=["changed", "variable", "value", "meaning", "default"],
        column_config={
            "changed": config.TextColumn("", width=30, help="Not its default."),
            "variable": config.TextColumn("Variable", width=300),
            "value": config.TextColumn("Now", width=170),
            "meaning": config.TextColumn("Meaning", width="large"),
            "default": config.TextColumn("Default", width=150),
        },
        placeholder="",
        alt="Settings: variable, value now, meaning, default",
    )


def _shown(value: object) -> str:
    """A setting in words; of a secret only that it is set."""
    if isinstance(value, SecretStr):
        return "set, hidden"
    return "" if value is None else str(value)

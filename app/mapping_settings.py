"""Trying a mapping on a sample: the fields of the items it makes, what is ignored or held back, or why it is none."""

from __future__ import annotations

import polars as pl
import streamlit as st

from app import people, queries
from app.words import ROW_PIXELS, count, number, plain, table_height, told
from soulcaster import mappings
from soulcaster.mappings import MappingInfo, MappingTrial
from soulcaster.settings import Settings
from soulcaster.sources.mapping import MAX_MAPPING_BYTES, ServiceMapping, parse_mapping

_OWN = "One that I write here"
_OWN_NAME = "mine"
_BEGUN = """title: My service
records: tickets
fields:
  id: id
  title: subject
  body: description
  url: url
  created_at: created_at
"""
_MOST_SAMPLE_CHARS = 200_000


def show() -> None:
    """A choice of mapping, a sample, and what the one makes of the other. Nothing is stored."""
    settings = queries.brief_settings()
    st.caption(
        "A mapping reads a service without code: which JSON field becomes which field of an item. Try it here, keep "
        "your own as a file in the folder below, then add a source of the kind *generic* with its name."
    )
    st.code(f"{settings.mappings_path}/NAME.yaml", language=None)
    known = {each.name: each for each in mappings.list_mappings(settings)}
    chosen = st.selectbox("Mapping", [*known, _OWN], key="mapping")
    left, right = st.columns(2, gap="medium")
    with left:
        written = _declare(known.get(chosen))
    with right:
        sample = st.text_area(
            "Sample, as the service sends it (JSON)",
            key=f"mapping-sample-{chosen}",
            height=300,
            max_chars=_MOST_SAMPLE_CHARS,
            placeholder="empty: the sample that comes with the mapping",
        )
    if people.button("configure", "Try it", icon="🧪", key="mapping-try", type="primary", help="Nothing is stored."):
        with told():
            people.check("configure", "Trying a mapping")
            mapping = _mapping(settings, chosen, written)
            _say(mappings.try_mapping(settings, mapping, sample.encode() if sample.strip() else None))


def _declare(info: MappingInfo | None) -> str:
    """What a known mapping is and needs; for one of the person's own the field to write it in."""
    if info is None:
        return st.text_area("Mapping (YAML)", _BEGUN, key="mapping-own", height=300, max_chars=MAX_MAPPING_BYTES)
    with st.container(border=True):
        st.markdown(
            f"**{plain(info.title or info.name)}** · {'your own file' if info.file else 'comes with Soulcaster'}"
        )
        if info.error:
            st.warning(plain(info.error), icon="⚠️")
        st.text(info.about)
        if info.ways:
            st.caption(f"Ways in: {', '.join(info.ways)}")
        if info.variables:
            st.caption(plain(f"Secrets in variables: {', '.join(info.variables)}"))
    return ""


def _mapping(settings: Settings, chosen: str, written: str) -> ServiceMapping:
    """The chosen mapping. Never by a path: what a person types here names no file of this machine."""
    return parse_mapping(written, _OWN_NAME) if chosen == _OWN else mappings.find_mapping(settings, chosen)


def _say(trial: MappingTrial) -> None:
    held = f", {number(len(trial.quarantined))} held back" if trial.quarantined else ""
    passed = f", {number(sum(trial.ignored.values()))} ignored" if trial.ignored else ""
    say = st.success if trial.n_items else st.warning
    say(f"{count(trial.n_items, 'item')}{passed}{held}. Nothing was stored.", icon="✅" if trial.n_items else "⚠️")
    for reason, n in trial.ignored.items():
        st.text(f"ignored, {reason}: {number(n)}")
    for each in trial.quarantined:
        st.text(f"held back, {each['reason']}: {each['detail']}")
    rows = [
        {"item": place, "field": name, "value": str(value)}
        for place, item in enumerate(trial.items, start=1)
        for name, value in item.items()
    ]
    if not rows:
        return
    config = st.column_config
    table = pl.DataFrame(rows)
    st.dataframe(
        table,
        key="mapping-items",
        hide_index=True,
        row_height=ROW_PIXELS,
        height=table_height(table.height, most=14),
        column_config={
            "item": config.NumberColumn("Item", width=60),
            "field": config.TextColumn("Field", width=140),
            "value": config.TextColumn("Value", width="large"),
        },
        placeholder="",
        alt="Fields of the items that the mapping makes of the sample",
    )

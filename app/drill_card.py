"""How the last drill ended: which layer stopped what, and what got out."""

from __future__ import annotations

import polars as pl
import streamlit as st

from app import queries
from app.words import ROW_PIXELS, ago, count, duration, exact, plain, table_height
from soulcaster.db.drills import Drill, list_drills


def show() -> None:
    """A sentence and the table of cases of the newest drill; before the first, the command that runs one.

    Raises:
        TransientError, PermanentError: as `queries.ask`.
    """
    st.subheader("Drill", anchor=False, help="Poisoned reports and patches, tried against what runs here.")
    drills = queries.ask(list_drills, limit=1)
    if not drills:
        st.info("Nobody tried yet what stops a poisoned report here. In a shell: `soulcaster drill`.", icon="🧯")
        return
    drill = drills[0]
    _sentence(drill)
    with st.expander(f"{count(len(drill.results), 'case')}: which layer stopped what", icon="🧯"):
        _cases(drill)


def _sentence(drill: Drill) -> None:
    cases = count(len(drill.results), "case")
    if drill.n_escapes:
        st.error(f"Something got out of **{drill.n_escapes} of {cases}**: stop the agents and look.", icon="🚨")
    else:
        st.success(f"Nothing got out of {cases}.", icon="🧯")
    left_out = drill.n_known - len(drill.results)
    st.caption(
        f"{ago(drill.began_at)}, in {duration(drill.seconds)} · tool {plain(drill.tool)} · launched by "
        f"{plain(drill.launcher)} · held by {plain(drill.sandbox) or 'no sandbox, as nothing was launched'}"
        + (f" · {count(left_out, 'more case')} not tried" if left_out > 0 else ""),
        help=exact(drill.began_at),
    )


def _cases(drill: Drill) -> None:
    table = pl.DataFrame(
        [
            {
                "case": result.name,
                "about": result.about,
                "layer": result.layer,
                "stopped_by": "⚠️ nobody" if result.stopped_by == "nobody" else result.stopped_by,
                "escapes": " ".join(result.escapes) or "nothing",
                "reason": result.reason,
                "seconds": result.seconds,
            }
            for result in drill.results
        ],
        schema_overrides={"seconds": pl.Float64},
    )
    config = st.column_config
    st.dataframe(
        table,
        key="drill",
        hide_index=True,
        row_height=ROW_PIXELS,
        height=table_height(table.height),
        column_config={
            "case": config.TextColumn("Case", width=150),
            "about": config.TextColumn("What was tried", width=260),
            "layer": config.TextColumn("Had to stop it", width=110),
            "stopped_by": config.TextColumn("Stopped by", width=100),
            "escapes": config.TextColumn("Got out", width=110),
            "reason": config.TextColumn("What the job said", width=220),
            "seconds": config.NumberColumn("Took", format="%.1f s", width=70),
        },
        placeholder="",
        alt="Cases of the drill: what was tried, which layer had to stop it, which did, what got out",
    )

"""How drills ended, so that people see on a screen what holds here and when it was last tried."""

from __future__ import annotations

import json
import uuid
from typing import Literal

import duckdb
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

DrillLayer = Literal["hygiene", "approval", "routing", "agent", "policy", "sandbox", "proof", "review", "publisher"]

_MOST_KEPT = 50


class DrillResult(BaseModel):
    """How one poisoned case ended."""

    model_config = ConfigDict(frozen=True)

    name: str
    about: str
    layer: DrillLayer = Field(description="That had to stop it.")
    stopped_by: str = Field(description="The layer that did; 'nobody' when nothing did.")
    reason: str = Field(description="What the job said; text from outside may be in it.")
    sandbox: str = Field(description="What held its launches: bwrap, none; '' when it came to none.")
    escapes: list[str] = Field(description="What got out, one sentence each.")
    seconds: float


class Drill(BaseModel):
    """One drill that came to its end."""

    model_config = ConfigDict(frozen=True)

    began_at: AwareDatetime
    seconds: float
    tool: str
    launcher: str
    n_known: int = Field(description="Cases there were for the tool; more than results when only some were asked for.")
    results: list[DrillResult]

    @property
    def n_escapes(self) -> int:
        """Cases that something got out of."""
        return sum(bool(result.escapes) for result in self.results)

    @property
    def sandbox(self) -> str:
        """What held the launches, each once; '' when no case came to one."""
        return ", ".join(sorted({result.sandbox for result in self.results if result.sandbox}))


def add_drill(con: duckdb.DuckDBPyConnection, drill: Drill) -> None:
    """Keep the drill; of all the newest fifty stay."""
    results = json.dumps([result.model_dump() for result in drill.results])
    con.execute(
        "INSERT INTO drills (drill_id, began_at, seconds, tool, launcher, n_known, results) "
        "VALUES ($id, $began_at, $seconds, $tool, $launcher, $n_known, $results)",
        {**drill.model_dump(exclude={"results"}), "id": str(uuid.uuid4()), "results": results},
    )
    con.execute(
        "DELETE FROM drills WHERE drill_id NOT IN "
        "(SELECT drill_id FROM drills ORDER BY began_at DESC, drill_id LIMIT $1)",
        [_MOST_KEPT],
    )


def list_drills(con: duckdb.DuckDBPyConnection, *, limit: int = 20) -> list[Drill]:
    """The newest drills of this store, whatever the project, newest first; each with the result of every case."""
    rows = con.execute(
        "SELECT began_at, seconds, tool, launcher, n_known, results FROM drills "
        "ORDER BY began_at DESC, drill_id LIMIT $1",
        [limit],
    ).fetchall()
    names = ("began_at", "seconds", "tool", "launcher", "n_known")
    return [
        Drill.model_validate({**dict(zip(names, row[:-1], strict=True)), "results": json.loads(row[-1])})
        for row in rows
    ]

"""The nouns of the house as pydantic models: one piece of feedback, what became of a row, and the reports of steps.

Owns names and bounds; holds no logic that needs another library, opens nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Source = Literal["manual", "reddit", "sentry", "github"]
SOURCES: tuple[Source, ...] = ("manual", "reddit", "sentry", "github")

SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{1,39}$")]
"""A `Source`, or the name of a generic one: the service that a mapping declares."""

ClusterStatus = Literal["new", "triaged", "ignored", "fixing", "pr_open", "fixed", "regressed"]
"""Where a cluster stands: by people (`triage.DECIDABLE_STATUSES`), or by what follows from jobs and new evidence."""

Trust = Literal["anonymous", "member", "verified", "maintainer"]
"""Who stands behind a text, lowest first; the weakest evidence caps how far automation may go alone."""

ItemState = Literal["open", "closed", "removed", "deleted"]
"""`removed` by a moderator, `deleted` by its author: both stay as counted items, possibly without text."""

DEFAULT_PROJECT = "default"


class FeedbackItem(BaseModel):
    """One piece of feedback as its source tells it, before hygiene. Identity: (project, source, external_id)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: SourceName
    external_id: str = Field(min_length=1, max_length=512, description="The source's own id.")
    title: str = ""
    body: str = ""
    url: str | None = None
    author: str | None = None
    channel: str | None = Field(None, description="Where in the source: subreddit, owner/repo, Sentry project.")
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = Field(None, description="Version of the row: an older one never overwrites.")
    trust: Trust = "anonymous"
    state: ItemState = "open"
    state_reason: str | None = None
    source_group: str | None = Field(None, description="The source's own grouping, e.g. the Sentry issue id.")
    duplicate_of: str | None = Field(
        None, description="external_id this item was declared a duplicate of; '' when that was taken back."
    )
    exception_type: str | None = None
    frames: list[str] = Field(default_factory=list, description="In-app frames 'module:function', innermost first.")
    culprit: str | None = None
    release: str | None = None
    environment: str | None = None
    level: str | None = None
    labels: list[str] = Field(default_factory=list)
    event_count: int = Field(1, ge=0, description="How often it happened, as far as the source counts.")
    user_count: int | None = Field(None, ge=0)
    payload: str | None = Field(None, description="Raw JSON as received, kept so that a mended parser can replay it.")


class Ignored(BaseModel):
    """A payload that is not feedback (a pull request, a ping), with the reason that is counted."""

    model_config = ConfigDict(frozen=True)

    reason: str


class Quarantined(BaseModel):
    """A row we could not or would not take in; it waits with its reason until a person looks."""

    model_config = ConfigDict(frozen=True)

    reason: str = Field(description="Short slug that is counted, e.g. 'no-text'.")
    detail: str = Field(description="One sentence: where, expected, got; or the quoted fragment.")
    location: str = Field("", description="File and row, or delivery id.")
    external_id: str | None = None
    source: SourceName | None = Field(None, description="Where it came from, when the caller does not know.")
    payload: str | None = Field(None, description="The row as received, capped, for release after a mended parser.")


Outcome = FeedbackItem | Ignored | Quarantined
"""What a parser says about each payload it is shown; parsers never raise on content."""


class ImportReport(BaseModel):
    """Counts of one import; their sum is the number of items seen (of files, for a file that yields none)."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    ignored: dict[str, int] = Field(default_factory=dict)
    quarantined: dict[str, int] = Field(default_factory=dict)

    @property
    def seen(self) -> int:
        """Number of items this report accounts for."""
        rest = sum(self.ignored.values()) + sum(self.quarantined.values())
        return self.new + self.changed + self.unchanged + rest

    def __add__(self, other: ImportReport) -> ImportReport:
        return ImportReport(
            new=self.new + other.new,
            changed=self.changed + other.changed,
            unchanged=self.unchanged + other.unchanged,
            ignored=dict(Counter(self.ignored) + Counter(other.ignored)),
            quarantined=dict(Counter(self.quarantined) + Counter(other.quarantined)),
        )


class EmbedReport(BaseModel):
    """What one embedding pass did."""

    model_id: str
    dim: int
    n_texts: int = Field(description="Distinct texts in the project.")
    n_embedded: int = Field(description="Texts embedded by this pass; the others already had a vector.")
    seconds: float


class RestateReport(BaseModel):
    """What one pass over the texts that wait for a problem statement did."""

    n_stated: int = Field(0, description="Texts that a statement stands for from now on.")
    n_own: int = Field(0, description="Texts of this pass that speak for themselves: no problem, or no use.")
    n_waiting: int = Field(0, description="Texts for a later pass; until then they are embedded as they are.")
    n_calls: int = Field(0, description="Questions that the model was asked; kept answers cost none.")
    cost_usd: float = 0.0
    note: str = Field("", description="Why texts wait; empty when none does.")


class ReclusterReport(BaseModel):
    """What one re-clustering found. Field names are fixed: other people's scripts read them."""

    run_id: str
    n_items: int
    n_clusters: int
    n_themes: int
    n_noise: int
    published: bool
    seconds: float


class SummarizeReport(BaseModel):
    """What one naming pass did."""

    n_clusters: int
    n_titled: int = Field(description="Clusters whose title was written by this pass; the others had not changed.")
    method: str = Field(description="'extractive', or model and version of its rules.")
    n_by_model: int = Field(0, description="Of those titled: by the model; the others were picked from their texts.")
    n_calls: int = Field(0, description="Questions that the model was asked.")
    cost_usd: float = 0.0
    note: str = Field("", description="Why clusters wait for a model's words, and what to do; empty when none does.")


class SuggestReport(BaseModel):
    """What one pass over near pairs of clusters did."""

    n_pairs: int = Field(description="Pairs near enough to be one problem.")
    n_suggested: int = Field(description="Of them: those the model takes for one.")
    n_calls: int = Field(description="Questions that the model was asked; kept answers cost none.")
    cost_usd: float = 0.0
    note: str = Field("", description="Why pairs were not asked about; empty when all were.")


class DrawReport(BaseModel):
    """What one drawing of the map did; zeros when there was nothing to draw."""

    n_clusters: int
    n_kept: int = Field(description="Clusters that the map before had too; they stay about where they were.")
    n_noise: int = Field(description="Items that stand alone and are on the map.")
    seconds: float


class TouchedWork(BaseModel):
    """A cluster that somebody is fixing and whose items a refit would take elsewhere."""

    cluster_id: str
    status: str
    fate: Literal["survived", "split", "absorbed", "disappeared"]
    n_items: int = Field(description="Items it has now.")
    n_left: int = Field(description="How many of them keep it.")


class ChurnReport(BaseModel):
    """What a run changes for people who know the run on show. Counted over items that both know and that have text."""

    n_clustered: int = Field(0, description="Items that are in a cluster now.")
    n_kept: int = Field(0, description="Of them: stay in the cluster they are in.")
    n_moved: int = Field(0, description="Of them: go to another cluster.")
    n_dropped: int = Field(0, description="Of them: become noise.")
    n_adopted: int = Field(0, description="Noise now, in a cluster then.")
    share: float = Field(0.0, description="Moved or dropped, as a share of those in a cluster now.")
    transitions: dict[str, int] = Field(default_factory=dict, description="Clusters by what becomes of them.")
    work: list[TouchedWork] = Field(default_factory=list, description="Clusters being fixed that lose items.")
    edits: list[str] = Field(default_factory=list, description="Ids of people's edits whose items change cluster.")
    contradictions: list[str] = Field(
        default_factory=list, description="Edits that cannot both hold, with who and when; the newest wins."
    )
    waits_because: str = Field("", description="Why a person has to publish it; empty when it published itself.")


class EditReport(BaseModel):
    """What one edit of a person did."""

    edit_id: str
    kind: str
    run_id: str = Field(description="The run it made, which is on show now.")
    clusters: list[str] = Field(description="Clusters that lost or won items.")
    n_moved: int
    contradictions: list[str] = Field(description="Earlier edits that give way to this one, with who and when.")
    seconds: float


class AssignReport(BaseModel):
    """Where new items went between two re-clusterings."""

    run_id: str | None = Field(description="The run on show; null before the first.")
    n_new: int = Field(description="Items with text that the run did not know.")
    n_exact: int = Field(description="Of them: joined by an exact key.")
    n_nearest: int = Field(description="Of them: near enough to a cluster.")
    n_noise: int = Field(description="Of them: wait as noise.")
    n_without_vector: int = Field(description="Of them: wait for the embedding step.")
    seconds: float


class MaintainReport(BaseModel):
    """What one pass of housekeeping did."""

    n_runs_forgotten: int = Field(description="Groupings that never were on show and were old.")
    n_rows_deleted: int
    is_index_optimized: bool = Field(description="False when there is no index yet.")
    seconds: float


class NearMember(BaseModel):
    """An item beside the one that is explained."""

    item_id: str
    source: str
    external_id: str
    title: str
    cluster_id: str | None
    similarity: float = Field(description="Cosine of the two texts.")


class Explanation(BaseModel):
    """Why an item is where it is."""

    item_id: str
    source: str
    external_id: str
    title: str
    run_id: str | None = Field(description="The run on show; null before the first.")
    cluster_id: str | None
    cluster_title: str | None
    reason: str = Field(description="Slug as stored with the membership; '' for noise and for items not grouped yet.")
    because: str = Field(description="The reason in one sentence.")
    similarity: float | None = Field(
        description="As stored: to the cluster's middle, or of an assigned item to a member."
    )
    threshold: float | None = Field(description="For an assigned item: the similarity its nearest cluster asked for.")
    nearest_cluster_id: str | None = Field(description="For an assigned item: the cluster of its nearest member.")
    nearest: list[NearMember] = Field(description="Nearest other members, or for noise the nearest items of all.")
    shared_terms: list[str] = Field(description="Words it shares with them, those that most of them have first.")
    shared_frames: list[str] = Field(description="In-app frames it shares with members of the cluster.")
    edits: list[str] = Field(description="What people said about it, oldest first, with who, when and why.")

"""What a new run would change for people who know the run on show: counted before it is shown."""

from __future__ import annotations

import polars as pl

from soulcaster.models import ChurnReport, TouchedWork


def measure_churn(items: pl.DataFrame, transitions: pl.DataFrame, work: dict[str, str]) -> ChurnReport:
    """Counts of items that keep, change, lose or find a cluster, and of clusters by what becomes of them.

    Args:
        items: cluster_id_before, cluster_id_after (null = noise), edit_ids (list, those whose constraints name the
            item); one row an item that both runs know and that still has text.
        transitions: kind, cluster_id.
        work: status by id of the clusters that somebody is fixing.
    """
    before, after = pl.col("cluster_id_before"), pl.col("cluster_id_after")
    inside = items.filter(before.is_not_null())
    stays = before.eq_missing(after)
    n_kept = inside.filter(stays).height
    n_dropped = inside.filter(after.is_null()).height
    changed = items.filter(~stays)
    fates = dict(transitions.filter(pl.col("kind") != "split").select("cluster_id", "kind").iter_rows())
    fates |= dict(transitions.filter(pl.col("kind") == "split").select("cluster_id", "kind").iter_rows())
    sizes = inside.group_by("cluster_id_before").agg(n=pl.len(), left=stays.sum())
    touched = [
        TouchedWork(
            cluster_id=cluster, status=work[cluster], fate=fates.get(cluster, "survived"), n_items=n, n_left=left
        )
        for cluster, n, left in sizes.sort("cluster_id_before").iter_rows()
        if cluster in work and (left < n or fates.get(cluster, "survived") != "survived")
    ]
    return ChurnReport(
        n_clustered=inside.height,
        n_kept=n_kept,
        n_moved=inside.height - n_kept - n_dropped,
        n_dropped=n_dropped,
        n_adopted=changed.filter(before.is_null()).height,
        share=(inside.height - n_kept) / inside.height if inside.height else 0.0,
        transitions=dict(transitions["kind"].value_counts().sort("kind").iter_rows()),
        work=touched,
        edits=sorted(changed["edit_ids"].explode().drop_nulls().unique()),
    )


def why_wait(churn: ChurnReport, max_share: float) -> str:
    """Why a person should look before this is shown, one sentence; '' when there is no reason.

    Clusters that only gain or lose single items never wait; one that somebody is fixing does when it is cut, swallowed
    or lost, however small the rest of the change is.
    """
    for each in churn.work:
        if each.fate != "survived":
            return (
                f"cluster {each.cluster_id[:8]} has status {each.status} and would be {each.fate}: "
                f"{each.n_left} of its {each.n_items} items would keep it"
            )
    if churn.share > max_share:
        return (
            f"{churn.n_moved + churn.n_dropped:,} of {churn.n_clustered:,} clustered items ({churn.share:.1%}) would "
            f"change their cluster, more than {max_share:.1%}"
        )
    return ""

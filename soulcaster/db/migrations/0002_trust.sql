-- Proposals, people's edits, and items that found a place between two re-clusterings.

CREATE TABLE proposals (                -- where a run came from and what it would change; immutable, one row a run
    run_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,              -- refit, edit
    actor VARCHAR NOT NULL,
    base_run_id UUID,                   -- the run on show that its ids were matched to; null for the first
    churn VARCHAR NOT NULL              -- JSON of ChurnReport
);

CREATE TABLE edits (                    -- append-only: what people said about who belongs where
    edit_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,              -- merge, split, move, exclude, undo
    actor VARCHAR NOT NULL,
    edited_at TIMESTAMPTZ NOT NULL,
    reason VARCHAR NOT NULL,
    base_run_id UUID NOT NULL,          -- the run it was applied to
    run_id UUID NOT NULL,               -- the run it made
    undoes UUID,                        -- kind undo: the edit taken back
    payload VARCHAR NOT NULL            -- JSON: the clusters named, and every item moved with its cluster before and after
);

CREATE TABLE edit_constraints (         -- what an edit means for every later run, while nobody takes it back
    edit_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    relation VARCHAR NOT NULL,          -- together (all of side 0), apart (side 0 from side 1), joins (0 goes where most of 1 are)
    side INTEGER NOT NULL,
    item_id UUID NOT NULL
);

CREATE TABLE assignments (              -- append-only: where items went that came after the run
    run_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    item_id UUID NOT NULL,
    assigned_at TIMESTAMPTZ NOT NULL,
    label INTEGER NOT NULL,             -- -1: waits as noise
    cluster_id UUID,
    theme_id UUID,
    similarity DOUBLE,                  -- cosine to the nearest member; null for noise and for exact joins
    reason VARCHAR,                     -- as in memberships, or nearest-cluster; null for noise
    nearest_cluster_id UUID,
    nearest_similarity DOUBLE,
    threshold DOUBLE                    -- similarity that the cluster asks of a new text
);

-- Who is in which cluster of any run, with what was assigned to it since.
CREATE VIEW run_memberships AS
    SELECT run_id, project_id, item_id, label, cluster_id, theme_id, membership_strength, is_exemplar, similarity, reason
    FROM memberships
    UNION ALL
    SELECT run_id, project_id, item_id, label, cluster_id, theme_id,
           CASE WHEN cluster_id IS NULL THEN 0.0 ELSE coalesce(similarity, 1.0) END, false, similarity, reason
    FROM assignments;

CREATE OR REPLACE VIEW published_memberships AS
    SELECT m.* FROM run_memberships m JOIN published_runs p ON m.run_id = p.run_id AND m.project_id = p.project_id;

-- Portable on purpose (DuckLake, Quack): no sequence, no DEFAULT expression, no UNIQUE or foreign key, no hot counter row.
-- Identity is held by deterministic ids and MERGE; a test checks it.

CREATE TABLE schema_migrations (name VARCHAR NOT NULL, applied_at TIMESTAMPTZ NOT NULL);

CREATE TABLE items (
    item_id UUID NOT NULL,              -- uuid5(project | source | external_id)
    project_id VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    external_id VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    url VARCHAR,
    author VARCHAR,
    channel VARCHAR,
    created_at TIMESTAMPTZ,             -- at the source; null when the source does not say
    updated_at TIMESTAMPTZ,             -- version at the source: an older one never overwrites
    trust VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    state_reason VARCHAR,
    source_group VARCHAR,
    duplicate_of VARCHAR,
    exception_type VARCHAR,
    frames VARCHAR[] NOT NULL,
    culprit VARCHAR,
    release VARCHAR,
    environment VARCHAR,
    level VARCHAR,
    labels VARCHAR[] NOT NULL,
    event_count BIGINT NOT NULL,
    user_count BIGINT,
    content_hash VARCHAR,               -- sha256 hex of the embedded text; null when there is no text left
    row_hash VARCHAR NOT NULL,          -- hash of everything above: tells 'changed' from 'unchanged'
    language VARCHAR NOT NULL,
    notes VARCHAR[] NOT NULL,           -- what hygiene removed
    first_seen_at TIMESTAMPTZ NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE payloads (
    item_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    payload BLOB NOT NULL,              -- zstd of the JSON as received
    stored_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE quarantine (
    quarantine_id UUID NOT NULL,        -- uuid5 over project, source, id or place, reason: a rerun adds nothing
    project_id VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    external_id VARCHAR,
    location VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    detail VARCHAR NOT NULL,
    payload VARCHAR,                    -- the row as received, capped
    item VARCHAR,                       -- the cleaned item as JSON when only a rule stopped it
    quarantined_at TIMESTAMPTZ NOT NULL,
    released_at TIMESTAMPTZ,
    released_by VARCHAR
);

CREATE TABLE runs (                     -- one re-clustering, immutable once written
    run_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    model_id VARCHAR NOT NULL,
    parameters VARCHAR NOT NULL,        -- JSON: algorithm version, its parameters, library versions
    n_items BIGINT NOT NULL,
    n_clusters BIGINT NOT NULL,
    n_themes BIGINT NOT NULL,
    n_noise BIGINT NOT NULL,
    seconds DOUBLE NOT NULL
);

CREATE TABLE publications (             -- append-only: the newest row says which run a project shows
    project_id VARCHAR NOT NULL,
    run_id UUID NOT NULL,
    published_at TIMESTAMPTZ NOT NULL,
    published_by VARCHAR NOT NULL
);

CREATE TABLE memberships (              -- one row an item and run; noise has label -1 and no cluster
    run_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    item_id UUID NOT NULL,
    label INTEGER NOT NULL,
    cluster_id UUID,
    theme_id UUID,
    membership_strength DOUBLE NOT NULL,
    is_exemplar BOOLEAN NOT NULL,
    similarity DOUBLE,                  -- cosine to the mean of the cluster's texts; null for noise
    reason VARCHAR                      -- same-text, same-source-group, same-stack, declared-duplicate, near-text; null for noise
);

CREATE TABLE run_clusters (             -- the clusters of one run as they were found
    run_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    cluster_id UUID NOT NULL,
    theme_id UUID,
    label INTEGER NOT NULL,
    n_items BIGINT NOT NULL,
    membership_hash VARCHAR NOT NULL    -- sha256 over its item ids and content hashes: unchanged means no new title
);

CREATE TABLE clusters (                 -- lasting: what people link to
    cluster_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    title VARCHAR,
    summary VARCHAR,
    terms VARCHAR[] NOT NULL,
    summary_method VARCHAR,             -- 'extractive' or the model id
    summarized_hash VARCHAR,            -- membership_hash the title was written for
    created_at TIMESTAMPTZ NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE themes (
    run_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    theme_id UUID NOT NULL,
    label INTEGER NOT NULL,
    title VARCHAR,
    n_clusters BIGINT NOT NULL,
    n_items BIGINT NOT NULL
);

CREATE TABLE transitions (              -- what became of each cluster from one run to the next
    run_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,              -- survived, split, absorbed, emerged, disappeared
    cluster_id UUID NOT NULL,           -- the old cluster; for emerged the new one
    other_cluster_id UUID,              -- split: the new cluster cut out of it; absorbed: the cluster it is now part of
    overlap DOUBLE                      -- shared items over all items of both, among items known to both runs
);

CREATE TABLE activity (                 -- append-only
    activity_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    happened_at TIMESTAMPTZ NOT NULL,
    actor VARCHAR NOT NULL,             -- person, flow run, agent
    action VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    detail VARCHAR NOT NULL             -- JSON
);

-- What people see: the run each project published last, and its memberships.
CREATE VIEW published_runs AS
    SELECT project_id, arg_max(run_id, published_at) AS run_id, max(published_at) AS published_at
    FROM publications GROUP BY project_id;

CREATE VIEW published_memberships AS
    SELECT m.* FROM memberships m JOIN published_runs p ON m.run_id = p.run_id AND m.project_id = p.project_id;

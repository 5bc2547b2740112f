-- Where code lives, attempts to fix clusters, what was launched for them, comments that wait to be posted, kill switches.

CREATE TABLE repositories (             -- identity: project_id, name without regard to case
    project_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,              -- owner/name
    fields VARCHAR NOT NULL,            -- JSON of Repository; names of variables, never a secret
    changed_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE jobs (                     -- one attempt to fix a cluster; at most one that is not final a cluster and repository
    job_id VARCHAR NOT NULL,
    project_id VARCHAR NOT NULL,
    cluster_id VARCHAR NOT NULL,
    repository VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,           -- launches so far
    base_commit VARCHAR NOT NULL,
    brief_hash VARCHAR NOT NULL,
    branch VARCHAR NOT NULL,
    tool VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    launcher VARCHAR NOT NULL,
    sandbox VARCHAR NOT NULL,
    verdict VARCHAR,
    n_requests BIGINT NOT NULL,
    n_tokens BIGINT NOT NULL,
    cost_usd DOUBLE NOT NULL,
    pr_number BIGINT,
    pr_url VARCHAR,
    pr_state VARCHAR,                   -- open, merged, closed: as last read
    merged_at TIMESTAMPTZ,
    head_commit VARCHAR,                -- the last commit of ours on the branch
    is_dry_run BOOLEAN NOT NULL,
    trust VARCHAR NOT NULL,
    actor VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    detail VARCHAR NOT NULL             -- JSON of JobDetail: diagnosis, proof, review, findings, where it came from
);

CREATE TABLE launches (                 -- written before anything is started; the token finds it again
    job_id VARCHAR NOT NULL,
    project_id VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    purpose VARCHAR NOT NULL,           -- edit, verify, repair, review
    token VARCHAR NOT NULL,
    deadline_seconds INTEGER NOT NULL,
    handle VARCHAR,                     -- the launcher's; null while nobody knows whether it started
    created_at TIMESTAMPTZ NOT NULL,
    launched_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    outcome VARCHAR                     -- how it ended, one sentence
);

CREATE TABLE comments (                 -- outbox: a key is posted once, whoever runs it how often
    project_id VARCHAR NOT NULL,
    key VARCHAR NOT NULL,               -- identity together with project_id
    repository VARCHAR NOT NULL,
    issue_number BIGINT NOT NULL,
    body VARCHAR NOT NULL,
    state VARCHAR NOT NULL,             -- waiting, posted, failed
    message VARCHAR NOT NULL,           -- why it failed
    comment_id BIGINT,                  -- at the forge, for editing in place
    queued_at TIMESTAMPTZ NOT NULL,
    posted_at TIMESTAMPTZ
);

CREATE TABLE switches (                 -- one row a switch that was ever turned; no row means on
    name VARCHAR NOT NULL,              -- launching, publishing
    is_on BOOLEAN NOT NULL,
    reason VARCHAR NOT NULL,
    actor VARCHAR NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL
);

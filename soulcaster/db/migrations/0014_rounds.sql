-- Revision rounds over open pull requests, and what of them was taken up or turned away.

ALTER TABLE jobs ADD COLUMN round INTEGER;  -- 0: a job that makes its own change; n: the nth revision of an open pull request
UPDATE jobs SET round = 0;

CREATE TABLE remarks (                      -- identity: project_id, repository, key; each is dealt with once
    project_id VARCHAR NOT NULL,
    repository VARCHAR NOT NULL,
    pr_number BIGINT NOT NULL,
    key VARCHAR NOT NULL,                   -- review:ID, line:ID, comment:ID, or checks:SHA for all that failed on a commit
    author VARCHAR NOT NULL,                -- login; '' for checks
    job_id VARCHAR,                         -- the round that answers it; null: turned away
    reason VARCHAR NOT NULL,                -- why it was turned away
    noted_at TIMESTAMPTZ NOT NULL
);

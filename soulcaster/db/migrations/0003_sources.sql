-- The sources each project pulls from, and how the last pull of each ended.

CREATE TABLE sources (                  -- one row a configured source; identity: project_id, kind, name
    project_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,              -- reddit, github, sentry
    name VARCHAR NOT NULL,              -- subreddit, owner/repository, organization/project
    options VARCHAR NOT NULL,           -- JSON of SourceOptions; names of variables, never a secret
    is_paused BOOLEAN NOT NULL,
    added_at TIMESTAMPTZ NOT NULL,
    cursor VARCHAR NOT NULL,            -- JSON; moves only after the page it covers is committed
    state VARCHAR NOT NULL,             -- new, ok, failing, blocked
    state_since TIMESTAMPTZ,
    message VARCHAR NOT NULL,
    way VARCHAR,                        -- how the last page was read
    retry_at TIMESTAMPTZ,               -- scheduled pulls leave the source alone until then
    pulled_at TIMESTAMPTZ               -- end of the last pull that went through
);

-- Projects that people named before anything came in, and filters of the list of clusters that a project keeps.

CREATE TABLE projects (                 -- identity: project_id; others exist by what they hold
    project_id VARCHAR NOT NULL,
    added_at TIMESTAMPTZ NOT NULL,
    added_by VARCHAR NOT NULL
);

CREATE TABLE saved_views (              -- identity: project_id, name
    project_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    filters VARCHAR NOT NULL,           -- JSON: parameters of the list's address
    saved_at TIMESTAMPTZ NOT NULL,
    saved_by VARCHAR NOT NULL
);

-- Erased people: a mark by which they are known when they come again, without their name.
CREATE TABLE erasures (                 -- identity: erasure_id
    erasure_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    author_hash VARCHAR NOT NULL,       -- hex HMAC-SHA256 of project, source and author, without regard to case
    key VARCHAR NOT NULL,               -- hex, random, the same in all rows of a project
    asked_at TIMESTAMPTZ NOT NULL,
    asked_by VARCHAR NOT NULL,
    content_hashes VARCHAR[] NOT NULL,  -- texts whose vectors still have to go; empty when it has ended
    counts VARCHAR NOT NULL,            -- JSON: what was erased, by place
    ended_at TIMESTAMPTZ                -- null: it has to be brought to its end
);

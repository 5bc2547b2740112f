-- What people were told, so that each thing is told once.
CREATE TABLE notices (                  -- identity: project_id, key
    project_id VARCHAR NOT NULL,
    key VARCHAR NOT NULL,               -- names the thing: kind and id
    told_at TIMESTAMPTZ NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL        -- last time it was so; a day later it may be told again
);

-- What a backfill is cut into, and how far each part is: a backfill that is started again goes on behind it.

CREATE TABLE backfill_windows (         -- identity: window_id
    window_id UUID NOT NULL,            -- uuid5 over project, target, span or files, and what else decides what is read
    project_id VARCHAR NOT NULL,
    target VARCHAR NOT NULL,            -- kind:name of a source, or the path of an archive
    position BIGINT NOT NULL,           -- in the order of the plan
    title VARCHAR NOT NULL,
    spec VARCHAR NOT NULL,              -- JSON of WindowSpec
    state VARCHAR NOT NULL,             -- waiting, started, done
    n_done BIGINT NOT NULL,             -- lines or rows of its files that are stored
    counts VARCHAR NOT NULL,            -- JSON of ImportReport
    note VARCHAR NOT NULL,              -- what the source could not give
    changed_at TIMESTAMPTZ NOT NULL
);

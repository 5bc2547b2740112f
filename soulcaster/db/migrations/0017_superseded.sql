-- Versions of items that another took the place of although neither said which is newer: read again from an archive,
-- they change nothing.

CREATE TABLE superseded (               -- identity: item_id, row_hash
    item_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    row_hash VARCHAR NOT NULL           -- of items.row_hash; no text
);

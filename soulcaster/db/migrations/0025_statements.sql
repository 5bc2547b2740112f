-- Texts restated by a model as the problem behind them, and under which hash what is embedded has its vector.

CREATE TABLE statements (               -- identity: project_id, content_hash
    project_id VARCHAR NOT NULL,
    content_hash VARCHAR NOT NULL,      -- of the item's own text
    statement VARCHAR,                  -- null: the text speaks for itself, for want of a statement that can be used
    embedded_hash VARCHAR,              -- sha256 hex over content_hash and statement; null with it
    written_by VARCHAR NOT NULL,        -- model and version of the rules
    written_at TIMESTAMPTZ NOT NULL
);

CREATE VIEW embedded_items AS           -- items as the vector index knows them: content_hash is of what is embedded
SELECT i.project_id, i.item_id, i.source, i.external_id, i.title, i.body, i.source_group, i.duplicate_of,
    i.exception_type, i.frames, i.created_at, i.first_seen_at, s.statement,
    coalesce(s.embedded_hash, i.content_hash) AS content_hash
FROM items i LEFT JOIN statements s ON s.project_id = i.project_id AND s.content_hash = i.content_hash;

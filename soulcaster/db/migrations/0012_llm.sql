-- Words by a model: what was asked and paid, the answers that are kept, and what is known of a cluster because of them.

CREATE TABLE llm_calls (
    project_id VARCHAR NOT NULL,
    called_at TIMESTAMPTZ NOT NULL,
    kind VARCHAR NOT NULL,              -- name
    model VARCHAR NOT NULL,
    outcome VARCHAR NOT NULL,           -- ok, blocked, cut, broken, refused
    n_input_tokens BIGINT NOT NULL,
    n_output_tokens BIGINT NOT NULL,
    cost_usd DOUBLE NOT NULL
);

CREATE TABLE llm_answers (              -- paid for once: the same question to the same model is not asked again
    project_id VARCHAR NOT NULL,
    question_hash VARCHAR NOT NULL,
    answer VARCHAR,                     -- JSON as checked; null: it was of no use
    answered_at TIMESTAMPTZ NOT NULL
);

ALTER TABLE clusters ADD COLUMN hints VARCHAR[];        -- how it may be reproduced; null: no model said
ALTER TABLE clusters ADD COLUMN severity VARCHAR;       -- critical, high, medium, low; null: no model said
ALTER TABLE clusters ADD COLUMN kind VARCHAR;           -- bug, request, question, praise; null: no model said
ALTER TABLE clusters ADD COLUMN named_items BIGINT;     -- items it had when the model named it
ALTER TABLE clusters ADD COLUMN named_from VARCHAR[];   -- ids of the items the model was shown

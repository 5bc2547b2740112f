-- Pairs of clusters that a model takes for one problem: for people to merge; replaced by every pass.

CREATE TABLE merge_suggestions (
    project_id VARCHAR NOT NULL,
    cluster_id UUID NOT NULL,           -- the smaller id of the two
    other_cluster_id UUID NOT NULL,
    similarity DOUBLE NOT NULL,         -- cosine of the means of their typical texts
    reason VARCHAR NOT NULL,            -- the model's, one sentence
    suggested_at TIMESTAMPTZ NOT NULL
);

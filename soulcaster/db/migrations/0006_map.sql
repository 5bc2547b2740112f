-- The picture of a run: where each cluster lies, and a sample of the items that stand alone. Never changed once written.

CREATE TABLE map_positions (
    run_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    cluster_id UUID NOT NULL,
    x DOUBLE NOT NULL,                  -- middle and radius in a map about 1 wide; only comparable within a project
    y DOUBLE NOT NULL,
    radius DOUBLE NOT NULL
);

CREATE TABLE map_noise (
    run_id UUID NOT NULL,
    project_id VARCHAR NOT NULL,
    item_id UUID NOT NULL,
    cluster_id UUID NOT NULL,           -- the nearest one, beside whose circle it lies
    similarity DOUBLE NOT NULL,         -- cosine to the mean of that cluster's texts
    x DOUBLE NOT NULL,
    y DOUBLE NOT NULL
);

-- How drills of this house ended: which layer stopped each poisoned case, and what got out.
CREATE TABLE drills (                   -- identity: drill_id; of the machine, not of a project
    drill_id UUID NOT NULL,
    began_at TIMESTAMPTZ NOT NULL,
    seconds DOUBLE NOT NULL,
    tool VARCHAR NOT NULL,              -- scripted, kilo, gemini-cli
    launcher VARCHAR NOT NULL,
    n_known INTEGER NOT NULL,           -- cases there were for the tool; fewer results: only some were asked for
    results VARCHAR NOT NULL            -- JSON list of DrillResult
);

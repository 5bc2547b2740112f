-- What people decide about a cluster beside who is in it.

ALTER TABLE clusters ADD COLUMN owner VARCHAR;      -- who looks after it; null: nobody yet
ALTER TABLE clusters ADD COLUMN wakes_at BIGINT;    -- status ignored: number of items at which it is new again

-- The frame of the read models: which log they are of, and which generation is live. The tables
-- themselves stand in a schema per generation (see src/tables.sql).

CREATE TABLE settings (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    log_id      uuid    NOT NULL,
    shard_count integer NOT NULL CHECK (shard_count > 0)
);
COMMENT ON TABLE settings IS 'The log that these read models are made from; one row.';
COMMENT ON COLUMN settings.log_id IS 'The log''s id. Read models of another log are refused.';
COMMENT ON COLUMN settings.shard_count IS 'Shards of the log.';

CREATE TABLE generations (
    generation integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    format     integer     NOT NULL,
    state      text        NOT NULL CHECK (state IN ('BUILDING', 'LIVE', 'DROPPED')),
    made_at    timestamptz NOT NULL DEFAULT now(),
    live_since timestamptz
);
CREATE UNIQUE INDEX generations_one_is_live ON generations (state) WHERE state = 'LIVE';
COMMENT ON TABLE generations IS
    'Generations of the read models. Each has a schema of its own, named after this one: '
    '<schema>_g<generation>. Read the views of this schema, which always show the live one.';
COMMENT ON COLUMN generations.format IS 'Version of the tables.';
COMMENT ON COLUMN generations.state IS
    'BUILDING: a rebuild fills it. LIVE: what is read. DROPPED: to be removed.';
COMMENT ON COLUMN generations.live_since IS 'When it became live.';

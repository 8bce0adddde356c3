-- Facts beside the log that are kept for a while: commands that were done, and what streams have to remember of ids that they
-- have dealt with. See docs/event-log-write-path.md, Claims.
CREATE TABLE claims (
  -- 6 bytes of the time in the id, 10 of a hash of whose it is and of the id: so what is new is at the index's right end.
  key        uuid        NOT NULL,
  expires    timestamptz NOT NULL, -- by the log's time
  version    int         NOT NULL, -- the stream's, after the append that made it
  generation int         NOT NULL, -- how often it was replaced before
  kind       smallint    NOT NULL, -- 0: a command
  hash       bytea,                -- of a command's content
  outcome    bytea       NOT NULL,
  stream     text COLLATE "C"      -- of a command
) PARTITION BY RANGE (expires);

-- Makes the partition that holds claims which expire at this moment, if it is not there. Each is of ten days, which are
-- counted from 1970.
CREATE FUNCTION make_claims_partition(moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  number bigint := floor(extract(epoch FROM moment) / 864000);
  name   text   := 'claims_' || number;
BEGIN
  -- One maker at a time; the others then find it made, by a query: see make_partition().
  PERFORM pg_advisory_xact_lock(hashtextextended('caudal.partitions.' || current_schema(), 0));
  IF EXISTS (SELECT FROM pg_class c WHERE c.relname = name AND c.relnamespace = current_schema()::regnamespace) THEN
    RETURN;
  END IF;
  -- Nothing is updated in it, and all of it is dropped after some weeks: there is nothing to vacuum.
  EXECUTE format('CREATE TABLE %I (LIKE claims INCLUDING ALL, UNIQUE (key, generation))
    WITH (autovacuum_vacuum_insert_threshold = -1)', name);
  EXECUTE format('ALTER TABLE claims ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
    name, to_timestamp(number * 864000), to_timestamp((number + 1) * 864000));
END $$;

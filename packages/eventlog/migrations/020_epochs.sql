-- The epochs of the log: a row for each time that it has gone on in another place, after a fail-over or a restore. See
-- docs/fail-over.md.
CREATE TABLE epochs (
  number   bigint      PRIMARY KEY, -- when it was noted, in milliseconds since 1970; 0 is the first
  after    bigint      NOT NULL,    -- where the log ended then: what was behind that is lost
  system   bigint      NOT NULL,    -- the server; 0 if it does not say
  timeline int         NOT NULL,    -- its timeline; 0 if it does not say
  place    oid         NOT NULL,    -- of this table
  began_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What the server says of itself: `<system identifier> <whether it tells its timeline: t or f>`. Read once a session, since
-- it is a file of the server; it never changes while the server runs.
CREATE FUNCTION log_server() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  known text := current_setting('caudal.server', true);
BEGIN
  IF coalesce(known, '') = '' THEN
    -- Managed servers may refuse either.
    BEGIN
      SELECT s.system_identifier INTO known FROM pg_control_system() s;
    EXCEPTION WHEN OTHERS THEN
      known := 0;
    END;
    BEGIN
      PERFORM pg_walfile_name(pg_current_wal_insert_lsn());
      known := known || ' t';
    EXCEPTION WHEN OTHERS THEN
      known := known || ' f';
    END;
    PERFORM set_config('caudal.server', known, false);
  END IF;
  RETURN known;
END $$;

-- Where the log is now. Not on a standby, which does not write the log.
CREATE FUNCTION log_place(OUT system bigint, OUT timeline int, OUT place oid) LANGUAGE plpgsql STABLE AS $$
DECLARE
  server text := log_server();
BEGIN
  system := split_part(server, ' ', 1)::bigint;
  -- Of the WAL that is being written. That of pg_control_checkpoint() is the former one until the first checkpoint after a
  -- promotion, and takes 13 us instead of 0.5.
  timeline := CASE WHEN right(server, 1) = 't'
    THEN ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int ELSE 0 END;
  place := 'epochs'::regclass::oid;
END $$;

-- The number of the log's epoch; -1 if the log has gone on in another place, and that is not noted yet.
CREATE FUNCTION log_epoch() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  newest record;
  here   record;
BEGIN
  SELECT e.number, e.system, e.timeline, e.place INTO newest FROM epochs e ORDER BY e.number DESC LIMIT 1;
  IF pg_is_in_recovery() THEN
    RETURN newest.number;
  END IF;
  SELECT * INTO here FROM log_place();
  -- What a server does not say can't differ.
  IF newest.place = here.place AND (newest.timeline = here.timeline OR here.timeline = 0 OR newest.timeline = 0)
    AND (newest.system = here.system OR here.system = 0 OR newest.system = 0) THEN
    RETURN newest.number;
  END IF;
  RETURN -1;
END $$;

-- To be called in the turn.
CREATE FUNCTION note_epoch() RETURNS void LANGUAGE sql AS $$
  INSERT INTO epochs (number, after, system, timeline, place)
    SELECT greatest((SELECT max(e.number) + 1 FROM epochs e), (extract(epoch FROM clock_timestamp()) * 1000)::bigint),
      l.position, p.system, p.timeline, p.place
    FROM log_end() l, log_place() p
$$;

-- Notes the epoch if the log has gone on in another place, or in any case if `anyway`. Returns its number.
CREATE FUNCTION begin_epoch(anyway boolean) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  IF NOT pg_is_in_recovery() THEN
    PERFORM pg_advisory_xact_lock(1667331428, 'events'::regclass::oid::int);
    IF anyway OR log_epoch() = -1 THEN
      PERFORM note_epoch();
    END IF;
  END IF;
  RETURN log_epoch();
END $$;

-- No event of a new place is before its epoch, whoever appends: appends hold the turn when they insert.
CREATE FUNCTION note_epoch_before_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF log_epoch() = -1 THEN
    PERFORM note_epoch();
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER note_epoch BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION note_epoch_before_events();

-- Passes on its argument, if the log's epoch is the one that the caller knows.
CREATE FUNCTION in_epoch(known bigint, passed boolean) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
  current bigint := log_epoch();
BEGIN
  IF known <> current THEN
    RAISE EXCEPTION 'The log''s epoch is % and not %', current, known
      USING ERRCODE = 'CDEPO', HINT = 'Read again what was decided on: see docs/fail-over.md.';
  END IF;
  RETURN passed;
END $$;

INSERT INTO epochs (number, after, system, timeline, place) SELECT 0, 0, p.system, p.timeline, p.place FROM log_place() p;

-- run: with short locks
-- The epochs of the log: a row for each time that it has gone on in another place, after a fail-over or a restore. See
-- docs/fail-over.md.
CREATE TABLE epochs (
  number   bigint      PRIMARY KEY, -- when it was noted, in milliseconds since 1970; 0 is the first
  after    bigint      NOT NULL,    -- where the log ended then: what was behind that is lost
  server   text        NOT NULL,    -- see log_server()
  timeline text        NOT NULL,    -- of the server; empty if it does not tell
  place    oid         NOT NULL,    -- of this table
  began_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What the server says of itself: `<system identifier, or 0> <whether it tells its timeline: t or f>`. Read once a session, since
-- it is a file of the server; it never changes while the server runs. Managed servers may refuse either.
CREATE FUNCTION log_server() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  known text;
BEGIN
  BEGIN
    SELECT s.system_identifier::text INTO known FROM pg_control_system() s;
  EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
    known := '0';
  END;
  BEGIN
    PERFORM pg_walfile_name(pg_current_wal_insert_lsn());
    known := known || ' t';
  EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
    known := known || ' f';
  END;
  PERFORM set_config('caudal.server', known, false);
  RETURN known;
END $$;

-- The timeline of the WAL that is being written. That of pg_control_checkpoint() is the former one until the first checkpoint
-- after a promotion, and takes 13 us instead of 0.5.
CREATE FUNCTION log_timeline(server text) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN right(server, 1) = 't' THEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) ELSE '' END
$$;

-- The number of the log's epoch; -1 if the log has gone on in another place, and that is not noted yet.
CREATE FUNCTION log_epoch() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  here   text := current_setting('caudal.server', true);
  newest record;
BEGIN
  SELECT e.number, e.server, e.timeline, e.place INTO newest FROM epochs e ORDER BY e.number DESC LIMIT 1;
  -- A standby does not write the log.
  IF pg_is_in_recovery() THEN
    RETURN newest.number;
  END IF;
  IF here IS NULL OR here = '' THEN
    here := log_server();
  END IF;
  IF newest.server = here AND newest.place = 'epochs'::regclass::oid AND newest.timeline =
    (CASE WHEN right(here, 1) = 't' THEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) ELSE '' END)
  THEN
    RETURN newest.number;
  END IF;
  RETURN -1;
END $$;

-- To be called in the turn. `after`: if it is known, and is before the log's end.
CREATE FUNCTION note_epoch(after bigint) RETURNS void LANGUAGE sql AS $$
  INSERT INTO epochs (number, after, server, timeline, place)
    SELECT greatest((SELECT max(e.number) + 1 FROM epochs e), (extract(epoch FROM clock_timestamp()) * 1000)::bigint),
      least(l.position, note_epoch.after), s.server, log_timeline(s.server), 'epochs'::regclass::oid
    FROM log_end() l, log_server() s (server)
$$;

-- Notes the epoch if the log has gone on in another place, or in any case if `anyway`. Returns its number.
CREATE FUNCTION begin_epoch(anyway boolean, after bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  IF NOT pg_is_in_recovery() THEN
    PERFORM pg_advisory_xact_lock(1667331428, 'events'::regclass::oid::int);
    IF anyway OR log_epoch() = -1 THEN
      PERFORM note_epoch(after);
    END IF;
  END IF;
  RETURN log_epoch();
END $$;

-- Passes on its argument, if the log's epoch is the one that the caller knows. The turn may be got later, and an operator may begin an
-- epoch meanwhile: what is known is kept for the check before the events.
CREATE FUNCTION in_epoch(known bigint, passed boolean) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  current bigint := log_epoch();
BEGIN
  IF known <> current THEN
    PERFORM refuse_epoch(known, current);
  END IF;
  PERFORM set_config('caudal.epoch', known::text, true);
  RETURN passed;
END $$;
CREATE FUNCTION refuse_epoch(known bigint, current bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'The log''s epoch is % and not %', current, known
    USING ERRCODE = 'CDEPO', HINT = 'Read again what was decided on: see docs/fail-over.md.';
END $$;

-- No event of a new place is before its epoch, whoever appends: appends hold the turn when they insert.
CREATE FUNCTION check_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  known   bigint := nullif(current_setting('caudal.epoch', true), '');
  current bigint := log_epoch();
BEGIN
  IF known <> current THEN
    PERFORM refuse_epoch(known, current);
  END IF;
  IF current = -1 THEN
    PERFORM note_epoch(NULL);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER check_epoch BEFORE INSERT ON events FOR EACH STATEMENT
  WHEN (log_epoch()::text IS DISTINCT FROM current_setting('caudal.epoch', true)) EXECUTE FUNCTION check_epoch();

INSERT INTO epochs (number, after, server, timeline, place)
  SELECT 0, 0, s.server, log_timeline(s.server), 'epochs'::regclass::oid FROM log_server() s (server);

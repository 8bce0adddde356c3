-- Ends what is kept for processes of version 0.2, if none of them has appended for so many days: then commands become claims.
-- Returns whether it has ended it. It takes the turn, so that no append is under way.
CREATE FUNCTION end_former_version(idle_days int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF to_regclass('head') IS NULL THEN
    RETURN false;
  END IF;
  IF EXISTS (SELECT FROM former_appends f WHERE f.day > current_date - idle_days) THEN
    RETURN false;
  END IF;
  PERFORM pg_advisory_xact_lock(1667331428, 'events'::regclass::oid::int);
  DROP VIEW IF EXISTS head, streams;
  DROP FUNCTION IF EXISTS former_head, append(boolean, text[], int[], boolean[], int[], uuid[], bytea[], bytea[],
    int[], int[], uuid[], text[], int[], bytea[], bytea[]);
  DROP TYPE IF EXISTS refusal;
  DROP TABLE IF EXISTS former_appends;
  RETURN true;
END $$;

-- Drops `commands`, once it is empty and no process of version 0.2 can ask for it. Returns whether it is gone.
CREATE FUNCTION drop_former_commands() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF to_regclass('commands') IS NULL THEN
    RETURN true;
  END IF;
  IF to_regclass('head') IS NOT NULL OR EXISTS (SELECT FROM commands) THEN
    RETURN false;
  END IF;
  -- Nothing is written to it any more, so it stays empty.
  DROP TABLE commands;
  RETURN true;
END $$;

-- A new log has no processes of version 0.2.
DO $$ BEGIN
  IF (SELECT e.position FROM log_end() e) = 0 AND NOT EXISTS (SELECT FROM commands) AND EXISTS (
    SELECT FROM migrations m
    WHERE m.name = 'eventlog/001_tables.sql' AND m.applied_at > clock_timestamp() - interval '5 minutes'
  ) THEN
    PERFORM end_former_version(0);
    PERFORM drop_former_commands();
  END IF;
END $$;

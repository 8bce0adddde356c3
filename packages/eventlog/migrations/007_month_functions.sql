-- Functions that read the partition of one month, made with it. Each has plans that a session keeps and that open no other
-- partition: a query on `events` locks and plans for every month that there is.
CREATE FUNCTION make_month_functions(suffix text) RETURNS void LANGUAGE plpgsql AS $make$
BEGIN
  -- The month's last event, and the last version of each stream; null if it has none, or is skipped.
  EXECUTE format($sql$
    CREATE OR REPLACE FUNCTION tail_%1$s(streams text[], skipped boolean[], OUT last bigint, OUT at timestamptz, OUT versions int[])
    LANGUAGE plpgsql STABLE AS $body$
    BEGIN
      SELECT e.position, e.recorded_at, ARRAY(
          SELECT (SELECT v.version FROM events_%1$s v WHERE NOT s.skipped AND v.stream = s.stream ORDER BY v.version DESC LIMIT 1)
          FROM unnest(streams, skipped) WITH ORDINALITY AS s(stream, skipped, n) ORDER BY s.n)
        INTO last, at, versions
      FROM (VALUES (1)) one LEFT JOIN LATERAL (
        SELECT p.position, p.recorded_at FROM events_%1$s p ORDER BY p.position DESC LIMIT 1
      ) e ON true;
    END $body$ $sql$, suffix);
  -- Events of streams, each after its version; `most` of each.
  EXECUTE format($sql$
    CREATE OR REPLACE FUNCTION streams_%1$s(streams text[], after int[], most int) RETURNS SETOF events
    LANGUAGE plpgsql STABLE AS $body$
    BEGIN
      RETURN QUERY SELECT e.* FROM unnest(streams, after) AS c(stream, after)
        CROSS JOIN LATERAL (
          SELECT * FROM events_%1$s m WHERE m.stream = c.stream AND m.version > c.after ORDER BY m.version LIMIT most
        ) e;
    END $body$ $sql$, suffix);
  -- Events after a position.
  EXECUTE format($sql$
    CREATE OR REPLACE FUNCTION log_%1$s(after bigint, most int) RETURNS SETOF events
    LANGUAGE plpgsql STABLE AS $body$
    BEGIN
      RETURN QUERY SELECT * FROM events_%1$s m WHERE m.position > after ORDER BY m.position LIMIT most;
    END $body$ $sql$, suffix);
END $make$;

-- Whether the month lacks one of them.
CREATE FUNCTION lacks_functions(suffix text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT count(*) < 3 FROM pg_proc p
  WHERE p.pronamespace = current_schema()::regnamespace AND p.proname IN ('tail_' || suffix, 'streams_' || suffix, 'log_' || suffix)
$$;

-- As in 002_partitions.sql, with the functions of the month. They are also made for a partition that lacks them, such as one
-- that an older process has made meanwhile.
CREATE OR REPLACE FUNCTION make_partition(moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  first_day timestamp := date_trunc('month', moment AT TIME ZONE 'UTC');
  suffix    text      := to_char(first_day, 'YYYY_MM');
  name      text      := 'events_' || suffix;
  lower     text      := first_day || '+00';
  upper     text      := first_day + interval '1 month' || '+00';
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('caudal.partitions.' || current_schema(), 0));
  IF NOT EXISTS (SELECT FROM pg_class c WHERE c.relname = name AND c.relnamespace = current_schema()::regnamespace) THEN
    -- Events never change, so the vacuum after many inserts freezes them for good.
    EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING ALL, UNIQUE (position), UNIQUE (stream, version))
      WITH (autovacuum_freeze_min_age = 0)', name);
    EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, lower, upper);
  END IF;
  IF lacks_functions(suffix) THEN
    PERFORM make_month_functions(suffix);
  END IF;
END $$;

-- The months that exist.
SELECT make_partition(to_date(substr(c.relname, 8), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC')
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'events'::regclass;

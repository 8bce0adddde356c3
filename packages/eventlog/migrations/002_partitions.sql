-- Makes the partition of the month that holds this moment (UTC), if it is not there. Filled elsewhere and attached, so
-- that nobody who reads or appends waits for it.
CREATE FUNCTION make_partition(moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  first_day timestamp := date_trunc('month', moment AT TIME ZONE 'UTC');
  name      text      := 'events_' || to_char(first_day, 'YYYY_MM');
  lower     text      := first_day || '+00';
  upper     text      := first_day + interval '1 month' || '+00';
BEGIN
  -- One maker at a time; the others then find it made.
  PERFORM pg_advisory_xact_lock(hashtextextended('caudal.partitions.' || current_schema(), 0));
  -- A query, which sees what is committed by now. to_regclass() may answer from what this session has looked up before
  -- it waited: then the one who came second finds nothing, and fails on what the first one has made.
  IF EXISTS (SELECT FROM pg_class c WHERE c.relname = name AND c.relnamespace = current_schema()::regnamespace) THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING ALL, UNIQUE (position), UNIQUE (stream, version))', name);
  EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, lower, upper);
END $$;

-- Makes the partitions of this month and `ahead` more, and the month's in which the log is (which is a later one if the
-- server's clock was wrong before).
CREATE FUNCTION make_partitions(ahead int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- Months are added in UTC: in a session of another time zone, 30 November, 19:00 and a month is not January.
  PERFORM make_partition(
    (date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + n * interval '1 month') AT TIME ZONE 'UTC')
  FROM generate_series(0, ahead) AS n;
  PERFORM make_partition(recorded_at) FROM head WHERE recorded_at > clock_timestamp();
END $$;

SELECT make_partitions(3);

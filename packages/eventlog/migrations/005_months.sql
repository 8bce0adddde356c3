-- Where the log and its streams stand at the beginning of each month. No row is ever updated; see
-- docs/event-log-write-path.md, Tables.

-- The months in which the log has events.
CREATE TABLE months (
  month date   PRIMARY KEY,
  after bigint NOT NULL -- the log's last position before its first event of the month
);

-- The months in which each stream has events.
CREATE TABLE stream_months (
  stream text COLLATE "C",
  month  date,
  after  int NOT NULL, -- the stream's version before its first event of the month
  PRIMARY KEY (stream, month)
);

-- The log's clock. Milliseconds are what clients can hold, so nobody's copy differs from the log.
CREATE FUNCTION log_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT date_trunc('milliseconds', clock_timestamp())
$$;

-- The first day of the month (UTC) that holds this moment, and how it is spelled in names.
CREATE FUNCTION month_of(moment timestamptz) RETURNS date LANGUAGE sql IMMUTABLE AS $$
  SELECT date_trunc('month', moment AT TIME ZONE 'UTC')::date
$$;
CREATE FUNCTION month_suffix(month date) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT to_char(month::timestamp, 'YYYY_MM')
$$;
CREATE FUNCTION month_begins(month date) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
  SELECT month::timestamp AT TIME ZONE 'UTC'
$$;

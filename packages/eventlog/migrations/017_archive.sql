-- Months whose events have left the database; see docs/archive.md. No row is ever updated.

-- The months whose events are in the archive.
CREATE TABLE archived_months (
  month         date   PRIMARY KEY,
  archive       text   NOT NULL, -- the archive, as operators know it
  path          text   COLLATE "C" NOT NULL, -- the start of the names of its objects, which no other attempt has
  manifest_hash bytea  NOT NULL,             -- SHA-256 of the object that says where everything is
  digest        bytea  NOT NULL,             -- of all its events, in any order
  events        bigint NOT NULL,
  bytes         bigint NOT NULL,
  archived_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The versions of streams that had no later month when this one was archived. An append needs them, and nothing else of the month.
CREATE TABLE archived_ends (
  stream  text COLLATE "C",
  month   date,
  version int NOT NULL,
  PRIMARY KEY (stream, month)
);

-- Months that were put back, and until when they stay.
CREATE TABLE restored_months (
  month date PRIMARY KEY,
  until timestamptz NOT NULL
);

-- The last version of a stream in an archived month; null if it is not known.
CREATE FUNCTION archived_end(of_stream text, of_month date) RETURNS int LANGUAGE sql STABLE AS $$
  SELECT coalesce(
    (SELECT n.after FROM stream_months n WHERE n.stream = of_stream AND n.month > of_month ORDER BY n.month LIMIT 1),
    (SELECT e.version FROM archived_ends e WHERE e.stream = of_stream AND e.month = of_month))
$$;

-- Puts functions in the place of the month's that answer what appends ask, and refuse what needs events: 58A01,
-- which versions that know no archive take for an outage. (A reader whose snapshot is older than the rows that it needs gets 40001
-- and reads again.)
CREATE FUNCTION make_archived_functions(of_month date) RETURNS void LANGUAGE plpgsql AS $make$
DECLARE
  suffix text := month_suffix(of_month);
BEGIN
  EXECUTE format($sql$
    CREATE OR REPLACE FUNCTION tail_%1$s(streams text[], skipped boolean[], OUT last bigint, OUT at timestamptz, OUT versions int[])
    LANGUAGE plpgsql STABLE AS $body$
    BEGIN
      versions := ARRAY(
        SELECT (SELECT e.version FROM archived_ends e WHERE NOT s.skipped AND e.stream = s.stream AND e.month = %2$L)
        FROM unnest(streams, skipped) WITH ORDINALITY AS s(stream, skipped, n) ORDER BY s.n);
      IF EXISTS (SELECT FROM unnest(versions, skipped) AS v(version, skipped) WHERE v.version IS NULL AND NOT v.skipped) THEN
        RAISE EXCEPTION 'The month %1$s has been archived meanwhile' USING ERRCODE = 'serialization_failure';
      END IF;
    END $body$ $sql$, suffix, of_month);
  EXECUTE format($sql$
    CREATE OR REPLACE FUNCTION streams_%1$s(streams text[], after int[], most int) RETURNS SETOF events
    LANGUAGE plpgsql STABLE AS $body$
    BEGIN
      IF EXISTS (
        SELECT FROM unnest(streams, after) AS c(stream, after)
        WHERE c.after < coalesce(archived_end(c.stream, %2$L), 2147483647)
      ) THEN
        RAISE EXCEPTION 'The events of %1$s are in the archive' USING ERRCODE = '58A01';
      END IF;
    END $body$ $sql$, suffix, of_month);
  EXECUTE format($sql$
    CREATE OR REPLACE FUNCTION log_%1$s(after bigint, most int) RETURNS SETOF events
    LANGUAGE plpgsql STABLE AS $body$
    BEGIN
      RAISE EXCEPTION 'The events of %1$s are in the archive' USING ERRCODE = '58A01';
    END $body$ $sql$, suffix);
END $make$;

-- Whatever makes the functions or the table of a month again must leave archived ones as they are: an empty table in their place would
-- be a gap that nobody notices. The former function goes on under another name.
ALTER FUNCTION make_month_functions(text) RENAME TO make_living_functions;
CREATE FUNCTION make_month_functions(suffix text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  of_month date := to_date(suffix, 'YYYY_MM');
BEGIN
  IF EXISTS (SELECT FROM archived_months a WHERE a.month = of_month) THEN
    PERFORM make_archived_functions(of_month);
  ELSE
    PERFORM make_living_functions(suffix);
  END IF;
END $$;

ALTER FUNCTION make_partition(timestamptz) RENAME TO make_living_partition;
CREATE FUNCTION make_partition(moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM archived_months a WHERE a.month = month_of(moment)) THEN
    PERFORM make_month_functions(month_suffix(month_of(moment)));
  ELSE
    PERFORM make_living_partition(moment);
  END IF;
END $$;

-- Pages of a month's table, in both orders, by its indexes whatever the planner knows of it.
CREATE FUNCTION month_by_position(of_month date, after bigint, most int) RETURNS SETOF events LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
BEGIN
  RETURN QUERY EXECUTE format('SELECT * FROM events_%s WHERE position > $1 ORDER BY position LIMIT $2', month_suffix(of_month))
    USING after, most;
END $$;
CREATE FUNCTION month_by_stream(of_month date, after_stream text, after_version int, most int) RETURNS SETOF events
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
BEGIN
  RETURN QUERY EXECUTE format(
    'SELECT * FROM events_%s WHERE (stream, version) > ($1 COLLATE "C", $2) ORDER BY stream, version LIMIT $3', month_suffix(of_month))
    USING after_stream, after_version, most;
END $$;

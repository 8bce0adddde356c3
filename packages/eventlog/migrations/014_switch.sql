-- run: with short locks
-- From `head` and `streams` to `months` and `stream_months`. Processes of version 0.2 go on: views of the same names answer
-- their reads, and append() as they call it leads to the new one. docs/event-log-write-path.md, Upgrade from 0.2.
DO $$ BEGIN
  WHILE NOT fill_months(20000) LOOP END LOOP;
END $$;
-- No append is under way once this is granted, and none begins.
LOCK TABLE head, streams IN ACCESS EXCLUSIVE MODE;
SELECT fill_months(9000000000000000);
DROP FUNCTION fill_months;
DROP TABLE filled, head, streams;

-- A partition that version 0.2 has made meanwhile gets its functions.
SELECT make_partition(to_date(substr(c.relname, 8), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC')
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'events'::regclass;

-- The days on which a process of version 0.2 has appended; the first is the day of the upgrade.
CREATE TABLE former_appends (day date PRIMARY KEY);
INSERT INTO former_appends VALUES (current_date);

-- `head` as version 0.2 reads it. A call of its append() that began before the switch, and has waited for its lock, goes on with
-- its old code: it gets the error of a lost race, for which that version sends the same appends again.
CREATE FUNCTION former_head(OUT "position" bigint, OUT recorded_at timestamptz) LANGUAGE plpgsql STABLE AS $$
DECLARE
  calls text;
BEGIN
  GET DIAGNOSTICS calls = PG_CONTEXT;
  IF calls LIKE '%append(boolean,text[],integer[],boolean[],integer[],uuid[],%' THEN
    RAISE EXCEPTION 'The log has been upgraded during this append' USING ERRCODE = 'serialization_failure';
  END IF;
  SELECT e.position, e.recorded_at INTO former_head.position, former_head.recorded_at FROM log_end() e;
END $$;
CREATE VIEW head AS SELECT true AS id, e.position, e.recorded_at FROM former_head() e;

CREATE VIEW streams AS
  SELECT m.stream, (month_versions(max(m.month), ARRAY[m.stream]))[1] AS version,
    -- Not the first and the last event's time, but times around them: they only say which partitions are looked at.
    month_begins(min(m.month)) AS created_at, month_begins((max(m.month) + interval '1 month')::date) AS updated_at
  FROM stream_months m GROUP BY m.stream;

-- append() as version 0.2 calls it: see 003_append.sql. Conflicts bring no missing events: that version then reads the stream.
CREATE OR REPLACE FUNCTION append(
  writes boolean,
  a_stream text[], a_expected int[], a_relies_on_refused boolean[], a_count int[],
  a_key uuid[], a_hash bytea[], a_reply bytea[],
  e_append int[], e_place int[], e_id uuid[], e_type text[], e_schema_version int[], e_metadata bytea[], e_data bytea[]
) RETURNS TABLE (
  n int, verdict text, "position" bigint, recorded_at timestamptz, version int, stream text, reply bytea,
  event_id uuid, type text, schema_version int, metadata bytea, data bytea, waited_seconds float8, versions int[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  s_stream  text[];
  s_new     boolean[];
  p_stream  int[];
  u_refused boolean[];
  c_unit    int[];
  after_all int[];
  nows      int[];
  refused   int[] := '{}';
BEGIN
  IF NOT EXISTS (SELECT FROM former_appends f WHERE f.day = current_date) THEN
    INSERT INTO former_appends VALUES (current_date) ON CONFLICT DO NOTHING;
  END IF;
  SELECT array_agg(s.stream ORDER BY s.stream COLLATE "C"), array_agg(s.new ORDER BY s.stream COLLATE "C") INTO s_stream, s_new
    FROM (
      SELECT a.stream COLLATE "C" AS stream, bool_and(a.expected = 0) AS new
      FROM unnest(a_stream, a_expected) AS a(stream, expected) GROUP BY 1
    ) s;
  SELECT array_agg(a.s ORDER BY a.n), array_agg(a.relies_on_refused OR a.again ORDER BY a.n),
      array_agg(a.n ORDER BY a.n) FILTER (WHERE a.key IS NOT NULL)
    INTO p_stream, u_refused, c_unit
    FROM (
      SELECT a.n::int AS n, a.key, dense_rank() OVER (ORDER BY a.stream COLLATE "C")::int AS s,
        a.relies_on_refused AND a.expected >= 0 AS relies_on_refused,
        a.key IS NOT NULL AND count(a.reply) OVER (
          PARTITION BY a.key ORDER BY a.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) > 0 AS again
      FROM unnest(a_stream, a_expected, a_relies_on_refused, a_key, a_reply)
        WITH ORDINALITY AS a(stream, expected, relies_on_refused, key, reply, n)
    ) a;
  c_unit := coalesce(c_unit, '{}');
  FOR n, verdict, position, recorded_at, waited_seconds, versions, after_all, version, stream, reply IN
    SELECT r.n, r.verdict, r.position, r.recorded_at, r.waited_seconds, r.versions, r.stream_versions, r.version, r.stream, r.reply
    FROM append(
      writes, s_stream, s_new, array_fill(1, ARRAY[cardinality(a_stream)]), u_refused, p_stream, a_expected, a_count,
      c_unit, c_unit, ARRAY(SELECT a_key[u] FROM unnest(c_unit) u), array_fill(-1, ARRAY[cardinality(c_unit)]),
      array_fill(0, ARRAY[cardinality(c_unit)]), array_fill(30, ARRAY[cardinality(c_unit)]),
      array_fill('-infinity'::timestamptz, ARRAY[cardinality(c_unit)]), '-infinity', '-infinity',
      ARRAY(SELECT a_hash[u] FROM unnest(c_unit) u), ARRAY(SELECT a_key[u] FROM unnest(c_unit) u),
      ARRAY(SELECT a_reply[u] FROM unnest(c_unit) u),
      e_append, e_place, e_id, e_type, e_schema_version, e_metadata, e_data
    ) r
  LOOP
    RETURN NEXT;
    IF verdict = 'batch' THEN
      refused := ARRAY(SELECT v.n FROM unnest(versions) WITH ORDINALITY AS v(version, n) WHERE v.version IS NULL);
      nows := after_all;
    ELSE
      refused := array_remove(refused, n);
    END IF;
  END LOOP;
  position := NULL;
  recorded_at := NULL;
  waited_seconds := NULL;
  versions := NULL;
  reply := NULL;
  verdict := 'conflict';
  FOREACH n IN ARRAY refused LOOP
    version := nows[p_stream[n]];
    stream := a_stream[n];
    RETURN NEXT;
  END LOOP;
END $$;

-- What append() decides on an append that does not land, until it answers.
CREATE TYPE refusal AS (n int, verdict text, version int, stream text, reply bytea, missing_after int, chain int);

-- Judges a batch of appends, in order, and writes those that may land, all in one step.
--
-- Appends to one log take turns: whoever writes holds the head row from here until its commit. So positions have no
-- gaps, no reader that goes by position can skip an event that commits late, versions are judged on what is durable,
-- and there is nothing to deadlock on.
--
-- a_*: an element an append. a_expected: the version that the stream must have, -1 for "must exist", -2 for any.
-- a_relies_on_refused: an append before it that it relies on was refused; it can only be a conflict, or a repeat.
-- a_count: how many of the events in e_* are its own. a_reply null: the key is only looked up.
-- e_append, e_place: the append that the event is of, and its place among the append's events, both from 1.
-- writes: whether any append has events or a reply. If not, there is no need to take turns.
--
-- Returns first a row `batch` for all: the log's last position before it, recorded_at, how long the head was waited for,
-- and for each append the stream's version after it, or null if it has not landed. Most batches have no more than that,
-- and a row costs both sides more than all else about an append that lands. Then, with the append's number from 1,
--   duplicate  the command was done before: stream, version and reply of that time
--   reused     the command's key belongs to other content
--   conflict   the stream's version (after this batch)
-- and for conflicts one row `missing` for each event after the expected version, at most 1,000 an append and 10,000 in
-- all. Of appends that were decided on each other only the first gets all of them, the others the first one: who has lost
-- a race with 100 appends would get the same events 100 times.
CREATE FUNCTION append(
  writes boolean,
  a_stream text[], a_expected int[], a_relies_on_refused boolean[], a_count int[],
  a_key uuid[], a_hash bytea[], a_reply bytea[],
  e_append int[], e_place int[], e_id uuid[], e_type text[], e_schema_version int[], e_metadata bytea[], e_data bytea[]
) RETURNS TABLE (
  n int, verdict text, "position" bigint, recorded_at timestamptz, version int, stream text, reply bytea,
  event_id uuid, type text, schema_version int, metadata bytea, data bytea, waited_seconds float8, versions int[]
) LANGUAGE plpgsql
-- Plans that do not depend on how big the tables were when they were made: a lookup is always one by index.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  began     timestamptz := clock_timestamp();
  waited    float8;
  last      bigint;
  moment    timestamptz;
  after_all int[];
  refusals  refusal[];
  conflicts int;
BEGIN
  IF writes THEN
    SELECT h.position, h.recorded_at INTO last, moment FROM head h WHERE h.id FOR UPDATE;
  ELSE
    SELECT h.position, h.recorded_at INTO last, moment FROM head h WHERE h.id;
  END IF;
  waited := extract(epoch FROM clock_timestamp() - began);
  -- Milliseconds are what clients can hold; so nobody's copy differs from the log.
  moment := greatest(moment, date_trunc('milliseconds', clock_timestamp()));

  WITH asked AS (
    SELECT a.n, a.stream COLLATE "C" AS stream, a.expected, a.relies_on_refused, a.count, a.key, a.hash, a.reply,
      coalesce((SELECT s.version FROM streams s WHERE s.stream = a.stream), 0) AS before,
      c.stream AS done_stream, c.version AS done_version, c.reply AS done_reply, c.hash = a.hash AS same,
      -- What the appends before it on the stream would add.
      coalesce(sum(a.count) OVER earlier, 0) AS ahead,
      -- The same key twice in a batch: the second one shall come again, and meet the first one's result.
      a.key IS NOT NULL AND count(a.reply) OVER same_key > 0 AS again
    FROM unnest(a_stream, a_expected, a_relies_on_refused, a_count, a_key, a_hash, a_reply)
      WITH ORDINALITY AS a(stream, expected, relies_on_refused, count, key, hash, reply, n)
    LEFT JOIN LATERAL (SELECT * FROM commands c WHERE c.key = a.key LIMIT 1) c ON true
    WINDOW
      earlier  AS (PARTITION BY a.stream COLLATE "C" ORDER BY a.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
      same_key AS (PARTITION BY a.key ORDER BY a.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
  ), alone AS (
    -- Each by itself, as if all those before it on its stream had landed.
    SELECT *, CASE
      WHEN same THEN 'duplicate'
      WHEN NOT same THEN 'reused'
      WHEN again THEN 'conflict'
      WHEN expected >= 0 AND (relies_on_refused OR expected <> before + ahead) THEN 'conflict'
      WHEN expected = -1 AND before + ahead = 0 THEN 'conflict'
      ELSE 'appended' END AS own
    FROM asked
  ), chained AS (
    -- An exact version relies on all events before it; "must exist" only if one of them may have made the stream.
    SELECT *, CASE
      WHEN own = 'appended' AND (expected >= 0 OR expected = -1 AND before = 0)
        AND bool_or(own <> 'appended' AND count > 0) OVER (
          PARTITION BY stream ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) THEN 'conflict'
      ELSE own END AS verdict
    FROM alone
  ), judged AS MATERIALIZED (
    SELECT *,
      sum(count) FILTER (WHERE verdict = 'appended') OVER (ORDER BY n) AS added,
      before + coalesce(sum(count) FILTER (WHERE verdict = 'appended') OVER (PARTITION BY stream ORDER BY n), 0) AS after,
      before + coalesce(sum(count) FILTER (WHERE verdict = 'appended') OVER (PARTITION BY stream), 0) AS finally
    FROM chained
  ), new_events AS (
    INSERT INTO events (position, recorded_at, version, schema_version, event_id, stream, type, metadata, data)
    SELECT last + j.added - j.count + e.place, moment, j.after - j.count + e.place,
      e.schema_version, e.id, j.stream, e.type, e.metadata, e.data
    FROM unnest(e_append, e_place, e_id, e_type, e_schema_version, e_metadata, e_data)
      AS e(append, place, id, type, schema_version, metadata, data)
    JOIN judged j ON j.n = e.append
    WHERE j.verdict = 'appended'
  ), new_streams AS (
    INSERT INTO streams AS s (stream, version, created_at, updated_at)
    SELECT DISTINCT stream, finally, moment, moment FROM judged WHERE finally > before
    ON CONFLICT (stream) DO UPDATE SET version = excluded.version, updated_at = excluded.updated_at
  ), new_commands AS (
    INSERT INTO commands (key, recorded_at, version, stream, hash, reply)
    SELECT key, moment, after, stream, hash, reply FROM judged
    WHERE verdict = 'appended' AND key IS NOT NULL AND reply IS NOT NULL
  ), new_head AS (
    UPDATE head h SET position = last + j.added, recorded_at = moment
    FROM (SELECT max(added) AS added FROM judged) j
    WHERE h.id AND j.added > 0
  )
  SELECT
    array_agg(CASE WHEN verdict = 'appended' THEN after END ORDER BY n),
    array_agg(ROW(
      n, verdict,
      CASE verdict WHEN 'duplicate' THEN done_version ELSE finally END,
      coalesce(done_stream, stream), done_reply,
      -- Where the missing events begin. Who just says "must exist" has none to miss.
      CASE WHEN verdict = 'conflict' AND expected >= 0 THEN expected END,
      -- The version that the first of those expected that were decided on each other.
      expected - ahead
    )::refusal ORDER BY n) FILTER (WHERE verdict <> 'appended'),
    count(*) FILTER (WHERE verdict = 'conflict' AND expected >= 0)
  INTO after_all, refusals, conflicts FROM judged;

  verdict := 'batch';
  position := last;
  recorded_at := moment;
  waited_seconds := waited;
  versions := after_all;
  RETURN NEXT;
  IF refusals IS NULL THEN
    RETURN;
  END IF;

  RETURN QUERY
    SELECT v.n, v.verdict, NULL::bigint, NULL::timestamptz, v.version, v.stream, v.reply,
      NULL::uuid, NULL::text, NULL::int, NULL::bytea, NULL::bytea, NULL::float8, NULL::int[]
    FROM unnest(refusals) v;

  -- By itself, because only a new statement sees what this batch has written.
  IF conflicts > 0 THEN
    RETURN QUERY
      SELECT v.n, 'missing', e.position, e.recorded_at, e.version, e.stream, NULL::bytea,
        e.event_id, e.type, e.schema_version, e.metadata, e.data, NULL::float8, NULL::int[]
      FROM (
        SELECT *, CASE place WHEN 1 THEN least(1000, 10000 / count(*) FILTER (WHERE place = 1) OVER ()) ELSE 1 END AS most
        FROM (
          SELECT *, row_number() OVER (PARTITION BY r.stream, r.chain ORDER BY r.n) AS place
          FROM unnest(refusals) r WHERE r.missing_after IS NOT NULL
        ) r
      ) v
      JOIN LATERAL (SELECT s.* FROM streams s WHERE s.stream = v.stream AND s.version > v.missing_after LIMIT 1) s ON true
      CROSS JOIN LATERAL (
        SELECT * FROM events e
        WHERE e.stream = v.stream AND e.version > v.missing_after
          AND e.recorded_at >= s.created_at AND e.recorded_at <= s.updated_at
        ORDER BY e.version LIMIT v.most
      ) e
      ORDER BY v.n, e.version;
  END IF;
END $$;

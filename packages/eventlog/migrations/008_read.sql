-- How the log is read. Each function is stable: it sees the log at one moment, that of the query which calls it. Settings:
-- plans do not depend on how big the tables were when they were made; a lookup is always one by index.

-- Where the log ends.
CREATE FUNCTION log_end(OUT "position" bigint, OUT recorded_at timestamptz) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
DECLARE
  newest record;
BEGIN
  SELECT m.month, m.after INTO newest FROM months m ORDER BY m.month DESC LIMIT 1;
  IF newest.month IS NOT NULL THEN
    EXECUTE 'SELECT last, at FROM tail_' || month_suffix(newest.month) || '(''{}'', ''{}'')' INTO position, recorded_at;
  END IF;
  -- A month whose events are all lost is one that a log ends before.
  position := coalesce(position, newest.after, 0);
  recorded_at := coalesce(recorded_at, '-infinity');
END $$;

-- Events of streams, each after its version; at most `most` of each, in no order.
CREATE FUNCTION read_streams(streams text[], after int[], most int) RETURNS SETOF events LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
DECLARE
  part record;
BEGIN
  FOR part IN
    SELECT m.month, array_agg(c.stream) AS streams, array_agg(c.after) AS after
    FROM unnest(streams, after) AS c(stream, after)
    CROSS JOIN LATERAL (
      SELECT s.month FROM stream_months s
      WHERE s.stream = c.stream
        -- From the month on that holds the first event after the version.
        AND s.month >= coalesce((
          SELECT g.month FROM stream_months g WHERE g.stream = c.stream AND g.after <= c.after ORDER BY g.month DESC LIMIT 1
        ), '-infinity')
        -- The months before this one do not have enough.
        AND s.after - c.after < most
    ) m
    GROUP BY m.month ORDER BY m.month
  LOOP
    RETURN QUERY EXECUTE 'SELECT * FROM streams_' || month_suffix(part.month) || '($1, $2, $3)'
      USING part.streams, part.after, most;
  END LOOP;
END $$;

-- Events after a position, in the log's order, at least `most` of them if there are so many; and the log's last position. If
-- there is no event, one row has that position alone.
CREATE FUNCTION read_log(after bigint, most int) RETURNS TABLE (
  head bigint, "position" bigint, recorded_at timestamptz, version int, schema_version int, event_id uuid, stream text, type text,
  metadata bytea, data bytea
) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
DECLARE
  newest record;
  this   date;
  found  boolean := false;
BEGIN
  -- As in log_end(), which would be a call with settings of its own.
  SELECT m.month, m.after INTO newest FROM months m ORDER BY m.month DESC LIMIT 1;
  IF newest.month IS NOT NULL THEN
    EXECUTE 'SELECT last FROM tail_' || month_suffix(newest.month) || '(''{}'', ''{}'')' INTO head;
  END IF;
  head := coalesce(head, newest.after, 0);
  IF read_log.after < head THEN
    FOR this IN
      SELECT m.month FROM months m
      WHERE m.month >= coalesce((
          SELECT g.month FROM months g WHERE g.after <= read_log.after ORDER BY g.month DESC LIMIT 1
        ), '-infinity')
        AND m.after - read_log.after < most
      ORDER BY m.month
    LOOP
      RETURN QUERY EXECUTE 'SELECT $3, l.* FROM log_' || month_suffix(this) || '($1, $2) l' USING read_log.after, most, head;
      found := true;
    END LOOP;
  END IF;
  IF NOT found THEN
    RETURN NEXT;
  END IF;
END $$;

-- The versions of streams whose last event is in this month.
CREATE FUNCTION month_versions(month date, streams text[]) RETURNS int[] LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
DECLARE
  versions int[];
BEGIN
  EXECUTE 'SELECT t.versions FROM tail_' || month_suffix(month) || '($1, array_fill(false, ARRAY[cardinality($1)])) t'
    INTO versions USING streams;
  RETURN versions;
END $$;

-- A page of the streams whose names begin with `prefix`, by name, with their versions.
CREATE FUNCTION stream_heads(after text, prefix text, most int) RETURNS TABLE (stream text, version int)
LANGUAGE sql STABLE
SET enable_seqscan = off
AS $$
  SELECT s.stream, coalesce(s.version, 0)
  FROM (
    SELECT p.month, array_agg(p.stream) AS streams FROM (
      SELECT m.stream, max(m.month) AS month FROM stream_months m
      -- A range that ends with the highest character, since not every planner turns starts_with() into one.
      WHERE m.stream > stream_heads.after AND m.stream >= prefix AND m.stream < prefix || chr(1114111)
      GROUP BY m.stream ORDER BY m.stream LIMIT most
    ) p GROUP BY p.month
  ) of
  CROSS JOIN LATERAL unnest(of.streams, month_versions(of.month, of.streams)) AS s(stream, version)
  ORDER BY s.stream COLLATE "C"
$$;

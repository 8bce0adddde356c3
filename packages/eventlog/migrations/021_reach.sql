-- Like read_streams(), but events in the archive are no error, which PostgreSQL would log for each such read: a stream that needs some has a
-- row of version -1 in their place. Processes of the version before go on with read_streams().
CREATE FUNCTION read_streams_or_reach(streams text[], after int[], most int) RETURNS SETOF events LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
DECLARE
  part record;
  archives boolean := EXISTS (SELECT FROM archived_months);
BEGIN
  FOR part IN
    SELECT m.month, array_agg(c.stream) AS streams, array_agg(c.after) AS after
    FROM unnest(streams, after) AS c(stream, after)
    CROSS JOIN LATERAL (
      SELECT s.month FROM stream_months s
      WHERE s.stream = c.stream
        AND s.month >= coalesce((
          SELECT g.month FROM stream_months g WHERE g.stream = c.stream AND g.after <= c.after ORDER BY g.month DESC LIMIT 1
        ), '-infinity')
        AND s.after - c.after < most
    ) m
    GROUP BY m.month ORDER BY m.month
  LOOP
    IF archives AND EXISTS (SELECT FROM archived_months a WHERE a.month = part.month) THEN
      RETURN QUERY
        SELECT 0::bigint, 'epoch'::timestamptz, -1, 0, '00000000-0000-0000-0000-000000000000'::uuid, c.stream, '', ''::bytea, ''::bytea
        FROM unnest(part.streams, part.after) AS c(stream, after)
        WHERE c.after < coalesce(archived_end(c.stream, part.month), 2147483647);
    ELSE
      RETURN QUERY EXECUTE 'SELECT * FROM streams_' || month_suffix(part.month) || '($1, $2, $3)'
        USING part.streams, part.after, most;
    END IF;
  END LOOP;
END $$;

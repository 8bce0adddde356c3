-- Fills `months` and `stream_months` of a log of version 0.2, while it is in use. Positions are in the order of months and of
-- each stream's versions: what is met first of a stream in a month is its first event of that month.
CREATE TABLE filled (position bigint NOT NULL);
INSERT INTO filled VALUES (0);

-- Goes on by at most `most` positions. Returns whether the end of the log is near.
CREATE FUNCTION fill_months(most bigint) RETURNS boolean LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
  done bigint;
  goal bigint;
  ends bigint;
BEGIN
  SELECT f.position INTO done FROM filled f;
  SELECT h.position INTO ends FROM head h;
  goal := least(done + most, ends);
  INSERT INTO months (month, after)
    SELECT month_of(e.recorded_at), min(e.position) - 1 FROM events e WHERE e.position > done AND e.position <= goal GROUP BY 1
    ON CONFLICT DO NOTHING;
  INSERT INTO stream_months (stream, month, after)
    SELECT e.stream, month_of(e.recorded_at), min(e.version) - 1 FROM events e WHERE e.position > done AND e.position <= goal
    GROUP BY 1, 2
    ON CONFLICT DO NOTHING;
  UPDATE filled SET position = goal;
  RETURN ends - goal < 1000;
END $$;

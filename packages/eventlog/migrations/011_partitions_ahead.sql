-- Makes the partitions of this month and `ahead` more, the month's in which the log is (which is a later one if the server's
-- clock was wrong before), and those of all claims that can be made in the next days: claims end at most 61 days ahead of
-- the log's time.
CREATE OR REPLACE FUNCTION make_partitions(ahead int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  log_time timestamptz;
BEGIN
  -- Months that lack their functions get them first: the end of the log is read by them.
  PERFORM make_partition(month_begins(m.month)) FROM months m WHERE lacks_functions(month_suffix(m.month));
  log_time := greatest(log_clock(), (SELECT e.recorded_at FROM log_end() e));
  -- Months are added in UTC: in a session of another time zone, 30 November, 19:00 and a month is not January.
  PERFORM make_partition(
    (date_trunc('month', log_clock() AT TIME ZONE 'UTC') + n * interval '1 month') AT TIME ZONE 'UTC')
  FROM generate_series(0, ahead) AS n;
  PERFORM make_partition(log_time);
  PERFORM make_claims_partition(log_time + n * interval '240 hours') FROM generate_series(0, 7) AS n;
END $$;
SELECT make_partitions(3);

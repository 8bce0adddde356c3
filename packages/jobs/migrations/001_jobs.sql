-- A row a job of the context: its lease, and what came of its last run. Times are this server's clock alone.
CREATE TABLE jobs (
  name            text        PRIMARY KEY,
  -- Counts the runs that have begun: the fencing token of the latest one.
  epoch           bigint      NOT NULL DEFAULT 0,
  -- The process that runs it; null if none does. Left by a process that died: the lease says until when it counts.
  holder          text,
  -- Where that process is or was, for people: host and pid.
  running_on      text,
  lease_until     timestamptz NOT NULL DEFAULT '-infinity',
  -- What the first due time follows from.
  declared_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_started_at timestamptz,
  last_ended_at   timestamptz,
  last_success_at timestamptz,
  last_outcome    text,
  last_error      text        CHECK (length(last_error) <= 1000),
  failures        bigint      NOT NULL DEFAULT 0,
  failures_in_row integer     NOT NULL DEFAULT 0
) WITH (fillfactor = 50); -- renewed while it runs: leaves room for HOT updates

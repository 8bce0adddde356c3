-- The processes that run handlers or relays of this context: a row a process, written once a second, deleted when it
-- stops, or by the others when it was not seen for a minute. See docs/parts.md. Unlogged: nothing of it outlives a crash
-- of the server, since every process writes its row again within a second.
CREATE UNLOGGED TABLE members (
  process text        PRIMARY KEY,
  -- Handlers with their number of parts, `order-details.v1.1/8`, and `relay`; with a `!` behind it what it can't do now.
  runs    text[]      NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);

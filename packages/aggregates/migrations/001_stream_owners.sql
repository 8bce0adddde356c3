-- The owners of contended streams: docs/owners.md. A row is advice: nothing that lands depends on it. So it needs no WAL,
-- and may be lost in a crash or a fail-over. Its bound: 16 streams a process; owners delete what a crash has left.
CREATE UNLOGGED TABLE stream_owners (
  stream   text        COLLATE "C" PRIMARY KEY,
  -- The owner, as it names itself from one start to the next end.
  instance text        NOT NULL CHECK (length(instance) <= 64),
  -- Its gRPC port, as host:port.
  address  text        NOT NULL CHECK (length(address) <= 300),
  -- A hash of its version and contract: only processes with the same one forward to it.
  contract text        NOT NULL CHECK (length(contract) <= 64),
  -- By this server's clock.
  until    timestamptz NOT NULL
) WITH (
  fillfactor = 50, -- renewed while it lasts: leaves room for HOT updates
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 200
);

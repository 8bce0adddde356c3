-- run: with short locks
-- Rows of streams of which nothing has happened for long end: see docs/bounds.md, Cursors end.
ALTER TABLE handler_cursors
  -- The position in its log of the stream's event `position_of`. Processes of version 0.2 move `version` alone: then it is not
  -- that of `version`.
  ADD COLUMN position    bigint,
  ADD COLUMN position_of bigint,
  -- The stream was parked when the floor passed it: this row counts, whatever the floor says.
  ADD COLUMN held        boolean NOT NULL DEFAULT false;
-- Rows come and go: kept near their size, also where there are many.
ALTER TABLE handler_cursors SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE timers SET (autovacuum_vacuum_scale_factor = 0.05);

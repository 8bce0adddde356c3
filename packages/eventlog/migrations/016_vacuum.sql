-- The one table whose rows are updated: kept near its size, also for snapshots of many kilobytes, which are stored aside.
ALTER TABLE snapshots SET (
  autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_scale_factor = 0.02
);

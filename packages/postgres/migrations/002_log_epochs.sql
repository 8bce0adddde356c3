-- run: with short locks
-- The epoch of the log that the position is of, after a fail-over that may have lost the log's end, and the position after which
-- that epoch began. See docs/fail-over.md.
ALTER TABLE checkpoints ADD COLUMN log_epoch bigint NOT NULL DEFAULT 0, ADD COLUMN log_epoch_after bigint NOT NULL DEFAULT 0;

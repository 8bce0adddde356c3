-- How far somebody has come, and who may move it on: checkpoint and lease in one row, so that neither can be had
-- without the other.
CREATE TABLE checkpoints (
  name        text        PRIMARY KEY,
  position    bigint      NOT NULL DEFAULT 0,
  -- Counts the holders: who knows the present one is the present one.
  epoch       bigint      NOT NULL DEFAULT 0,
  -- Null: nobody's.
  holder      text,
  lease_until timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50); -- updated all the time: leaves room for HOT updates

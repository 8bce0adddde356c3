-- Where months were in the archive before they were put back. Backups of the database from before then still name these objects.
CREATE TABLE former_archives (
  path     text COLLATE "C" PRIMARY KEY,
  month    date        NOT NULL,
  archive  text        NOT NULL,
  bytes    bigint      NOT NULL,
  ended_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

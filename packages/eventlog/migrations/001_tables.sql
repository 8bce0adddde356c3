-- One append-only log. Stream names compare by bytes: faster, and no index breaks with a new version of the system's
-- collations.

-- Where the log ends. Its one row is what appends take turns on: see append().
CREATE TABLE head (
  id          boolean     PRIMARY KEY DEFAULT true CHECK (id),
  position    bigint      NOT NULL DEFAULT 0,
  -- The last event's; what keeps recorded_at from going back with the clock.
  recorded_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 10); -- updated by every append: all of the page is room for the row's next versions
INSERT INTO head DEFAULT VALUES;

-- A row a stream. Versions are judged here, because a partitioned table can't hold a unique key without its month.
CREATE TABLE streams (
  stream     text COLLATE "C" PRIMARY KEY,
  version    int         NOT NULL,
  -- The first and the last event's recorded_at: which partitions a reader of the stream must look at.
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
) WITH (fillfactor = 80);

-- The first result of each command that was done. Deleted after 30 days by deleteOldCommands().
CREATE TABLE commands (
  key         uuid        PRIMARY KEY,
  recorded_at timestamptz NOT NULL,
  version     int         NOT NULL,
  stream      text COLLATE "C" NOT NULL,
  hash        bytea       NOT NULL,
  reply       bytea       NOT NULL
);
CREATE INDEX ON commands (recorded_at);

-- The events. Each partition has its own unique indexes, (position) and (stream, version): see make_partition().
-- Columns of fixed width come first, which saves the padding between them.
CREATE TABLE events (
  position       bigint      NOT NULL,
  recorded_at    timestamptz NOT NULL,
  version        int         NOT NULL,
  schema_version int         NOT NULL,
  event_id       uuid        NOT NULL,
  stream         text COLLATE "C" NOT NULL,
  type           text COLLATE "C" NOT NULL,
  metadata       bytea       NOT NULL,
  data           bytea       NOT NULL
) PARTITION BY RANGE (recorded_at);

-- The last state worth keeping of long streams. May be lost or deleted at any time.
CREATE TABLE snapshots (
  stream         text COLLATE "C" PRIMARY KEY,
  version        int   NOT NULL,
  schema_version int   NOT NULL,
  data           bytea NOT NULL
);

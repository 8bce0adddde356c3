-- Months of traces that have left for the archive: docs/tracking-archive.md.

-- A row for each part of a month: traces that came after a part had left are in a later one.
CREATE TABLE archived_trace_months (
  month         date,
  part          int,
  archive       text   NOT NULL, -- the archive, as operators know it
  path          text   COLLATE "C" NOT NULL, -- the start of the names of its objects, which no other attempt has
  manifest_hash bytea  NOT NULL,             -- SHA-256 of the object that says where everything is
  digest        bytea  NOT NULL,             -- of all its traces, in any order
  traces        bigint NOT NULL,
  parcels       bigint NOT NULL,
  bytes         bigint NOT NULL,
  archived_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  stays_until   timestamptz, -- of a month that is put back, or was: until when the job leaves it alone
  restored_at   timestamptz, -- since when its traces are in the database again; backups from before still need its objects
  PRIMARY KEY (month, part)
);
SELECT grant_on('archived_trace_months');

-- A page of a partition, in the order of the archive, by its index whatever the planner knows of it: (parcel, id) has the parcels in order,
-- and the traces of each are sorted.
CREATE FUNCTION trace_month_page(partition text, after_parcel uuid, after_at timestamptz, after_id uuid, most int) RETURNS SETOF traces
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
  RETURN QUERY EXECUTE format('SELECT * FROM %I WHERE parcel >= $1 AND (parcel, happened_at, id) > ($1, $2, $3)
    ORDER BY parcel, happened_at, id LIMIT $4', partition) USING after_parcel, after_at, after_id, most;
END $$;

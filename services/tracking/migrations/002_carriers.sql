-- What carriers are asked for, and what was learnt of how long they take: docs/carriers.md, docs/parcel-eta.md.

-- The country that the parcel's shipment goes to, and whether its transit was learnt: a count does not know whom it has counted.
ALTER TABLE parcels ADD COLUMN destination text, ADD COLUMN learnt boolean NOT NULL DEFAULT false;

-- When a carrier is asked next for a parcel of a shipment. A row ends when the parcel has ended, or has been silent for long.
CREATE TABLE carrier_polls (
  parcel          uuid        PRIMARY KEY,
  carrier         text        COLLATE "C" NOT NULL, -- as in parcels.carrier_key
  tracking_number text        NOT NULL,
  next_at         timestamptz NOT NULL,
  news_at         timestamptz NOT NULL,
  quiet           int         NOT NULL DEFAULT 0,
  failures        int         NOT NULL DEFAULT 0,
  said            text
) WITH (fillfactor = 80);
CREATE INDEX ON carrier_polls (carrier, next_at);

-- Histograms of parcels that have arrived, by carrier and lane, for each month in which they arrived.
CREATE TABLE transit_sketches (
  key   text  COLLATE "C" NOT NULL,
  month date  NOT NULL,
  days  int[] NOT NULL,
  hours int[] NOT NULL,
  PRIMARY KEY (key, month)
);

-- Rows of these are there to be changed. What the platform says of its own tables stays.
ALTER FUNCTION rights_of(text) RENAME TO rights_of_platform;
CREATE FUNCTION rights_of(table_name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN table_name IN ('carrier_polls', 'transit_sketches') THEN 'SELECT, INSERT, UPDATE, DELETE'
    ELSE rights_of_platform(table_name) END
$$;
SELECT grant_on(name) FROM unnest(ARRAY['carrier_polls', 'transit_sketches']) name;

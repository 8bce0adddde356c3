-- run: with short locks
-- Where parcels were last, and what they are searched by: docs/parcel-search.md. A table of its own, empty at first: its indexes are
-- made at once, however many parcels there are, and a parcel's row keeps changing without touching an index.
CREATE TABLE parcel_places (
  parcel       uuid   PRIMARY KEY REFERENCES parcels ON DELETE CASCADE,
  number_key   text   COLLATE "C" NOT NULL, -- the tracking number in its one spelling, at most 100 characters
  place        bigint, -- the code of the position: a cell of the map is a range of codes
  latitude_e7  int,
  longitude_e7 int,
  words        text -- of the place's name, one a line
) WITH (fillfactor = 90);
CREATE INDEX ON parcel_places (place, parcel) WHERE place IS NOT NULL;
CREATE INDEX ON parcel_places (number_key, parcel);

-- How far the job parcel-places has come with the parcels that were there before: all up to this one.
CREATE TABLE parcel_places_filled (
  one   boolean PRIMARY KEY DEFAULT true CHECK (one),
  up_to uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  done  boolean NOT NULL
);
INSERT INTO parcel_places_filled (done) SELECT NOT EXISTS (SELECT FROM parcels);

ALTER FUNCTION rights_of(text) RENAME TO rights_of_without_places;
CREATE FUNCTION rights_of(table_name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN table_name IN ('parcel_places', 'parcel_places_filled') THEN 'SELECT, INSERT, UPDATE, DELETE'
    ELSE rights_of_without_places(table_name) END
$$;
SELECT grant_on(name) FROM unnest(ARRAY['parcel_places', 'parcel_places_filled']) name;

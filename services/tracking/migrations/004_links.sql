-- Public links to parcels' pages: docs/tracking-page.md.
CREATE TABLE parcel_links (
  hash       bytea       PRIMARY KEY, -- SHA-256 of the link's token, which is stored nowhere
  parcel     uuid        NOT NULL,
  shipment   text        COLLATE "C", -- that the parcel had then: of another shipment's parcel the link shows nothing
  customer   text        COLLATE "C",
  created_at timestamptz NOT NULL,
  ends_at    timestamptz NOT NULL
);
CREATE INDEX ON parcel_links (parcel, created_at);
CREATE INDEX ON parcel_links (customer) WHERE customer IS NOT NULL;
CREATE INDEX ON parcel_links (ends_at);

-- Its rows are there to be deleted. What is said of the other tables stays.
ALTER FUNCTION rights_of(text) RENAME TO rights_before_links;
CREATE FUNCTION rights_of(table_name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN table_name = 'parcel_links' THEN 'SELECT, INSERT, DELETE' ELSE rights_before_links(table_name) END
$$;
SELECT grant_on('parcel_links');

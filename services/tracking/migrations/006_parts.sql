-- A month that has left keeps what was granted on it, until its table is dropped: that is no right too many.
ALTER FUNCTION rights_of(text) RENAME TO rights_of_without_parts;
CREATE FUNCTION rights_of(table_name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN table_name ~ '^traces_[0-9]{4}_[0-9]{2}_part_[0-9]+$' THEN 'SELECT, INSERT'
    ELSE rights_of_without_parts(table_name) END
$$;

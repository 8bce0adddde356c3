-- Tables of views in PostgreSQL, for processes that may not make tables themselves: docs/database-roles.md. They are called with
-- the rights of the owner, so they take names and types only, and check them.

CREATE FUNCTION check_view_name(table_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- No other table of the schema has a point in its name.
  IF table_name !~ '^([a-z][a-z0-9_-]*[.][a-z0-9._-]+|generations)$' OR length(table_name) > 63 THEN
    RAISE EXCEPTION '"%" is no name of a table of views', table_name USING ERRCODE = 'invalid_name';
  END IF;
END $$;

-- keys: [{"name", "type"}], the columns beside those that every such table has. indexes: [{"kind": "ordered" | "many" | "words",
-- "columns"}], in which "ordered" ends with the id. May be repeated.
CREATE FUNCTION make_view_table(table_name text, keys jsonb, indexes jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  types  text[] := ARRAY['text COLLATE "C"', 'text[] COLLATE "C"', 'bigint', 'bigint[]', 'boolean', 'boolean[]',
    'timestamptz', 'timestamptz[]', 'tsvector'];
  more   text;
  wrong  text;
  item   record;
  parts  text;
BEGIN
  PERFORM check_view_name(table_name);
  SELECT min(k.type) INTO wrong FROM jsonb_to_recordset(keys) AS k(name text, type text) WHERE k.type <> ALL (types);
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION '"%" is no type of a key', wrong USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- "IF NOT EXISTS" alone fails if two make the same table at one moment.
  PERFORM pg_advisory_xact_lock(hashtextextended('caudal.views.' || current_schema(), 0));
  SELECT string_agg(format(', %I %s', k.element->>'name', k.element->>'type'), '' ORDER BY k.n) INTO more
    FROM jsonb_array_elements(keys) WITH ORDINALITY AS k(element, n);
  EXECUTE format('CREATE TABLE IF NOT EXISTS %I (id text COLLATE "C" PRIMARY KEY, rev integer NOT NULL, streams jsonb NOT NULL,
    deleted boolean NOT NULL, view jsonb%s)', table_name, coalesce(more, ''));
  FOR item IN
    SELECT i.element->>'kind' AS kind, i.element->'columns' AS fields, i.n - 1 AS place
    FROM jsonb_array_elements(indexes) WITH ORDINALITY AS i(element, n) ORDER BY i.n
  LOOP
    SELECT string_agg(format('%I', c.name), ', ' ORDER BY c.n) INTO parts
      FROM jsonb_array_elements_text(item.fields) WITH ORDINALITY AS c(name, n);
    IF length(table_name || '.' || item.place) > 63 THEN
      RAISE EXCEPTION '"%" is too long for the name of an index', table_name USING ERRCODE = 'invalid_name';
    END IF;
    CASE item.kind
      WHEN 'ordered' THEN
        SELECT string_agg(format('%I NULLS FIRST', c.name), ', ' ORDER BY c.n) INTO parts
          FROM jsonb_array_elements_text(item.fields) WITH ORDINALITY AS c(name, n);
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (%s, id)', table_name || '.' || item.place, table_name, parts);
      WHEN 'many' THEN
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I USING gin (%s)', table_name || '.' || item.place, table_name, parts);
      WHEN 'words' THEN
        -- Every search reads the whole list of pending entries, of which PostgreSQL allows 4 MB if nothing else is said.
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I USING gin (%s) WITH (gin_pending_list_limit = 1024)',
          table_name || '.words', table_name, parts);
    END CASE;
  END LOOP;
  PERFORM grant_on(table_name);
END $$;

CREATE FUNCTION drop_view_table(table_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM check_view_name(table_name);
  EXECUTE format('DROP TABLE IF EXISTS %I', table_name);
END $$;

DO $$
DECLARE
  part regprocedure;
BEGIN
  FOREACH part IN ARRAY ARRAY['make_view_table(text, jsonb, jsonb)', 'drop_view_table(text)']::regprocedure[] LOOP
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp', part, current_schema());
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', part);
  END LOOP;
END $$;

-- run: with short locks
-- The keys of persons: docs/personal-data.md. What the events of a person have in personal texts is sealed with the person's key.
CREATE TABLE person_keys (
  person     text        COLLATE "C" PRIMARY KEY CHECK (length(person) <= 400),
  -- NULL once it was destroyed. The row stays, so that no second key is made for the person.
  wrapped    bytea       CHECK (length(wrapped) <= 1000),
  -- The name of the key that has wrapped it.
  wrapped_by text        COLLATE "C" NOT NULL CHECK (length(wrapped_by) <= 200),
  made_at    timestamptz NOT NULL DEFAULT log_clock(),
  erased_at  timestamptz,
  CHECK ((wrapped IS NULL) = (erased_at IS NOT NULL))
) WITH (
  -- What an update has left is cleared away soon.
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 1
);
-- Which are to be wrapped anew.
CREATE INDEX person_keys_wrapped_by ON person_keys (wrapped_by, person) WHERE wrapped IS NOT NULL;

-- Destroys the key of a person; whether there was one. With the rights of the tables' owner: nobody else needs to change rows for it.
CREATE FUNCTION destroy_person_key(id text) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$
  WITH destroyed AS (
    INSERT INTO person_keys AS k (person, wrapped, wrapped_by, erased_at) VALUES (id, NULL, '', log_clock())
      ON CONFLICT (person) DO UPDATE SET wrapped = NULL, erased_at = excluded.erased_at WHERE k.erased_at IS NULL
      RETURNING 1)
  SELECT EXISTS (SELECT FROM destroyed)
$$;

-- An event `<domain>.<entity>.erased` destroys the key of the person whose id is the stream's, in its own transaction. So no
-- crash comes between the two.
CREATE FUNCTION erase_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM destroy_person_key(substr(NEW.stream, strpos(NEW.stream, '/') + 1));
  RETURN NULL;
END $$;
CREATE TRIGGER erase_person AFTER INSERT ON events FOR EACH ROW
  WHEN (right(NEW.type, 10) = '.erased.v1') EXECUTE FUNCTION erase_person();

-- Destroys the keys of all persons that the log says are erased: to be called after the table was restored from a backup, which has
-- keys of persons who were erased since. Returns the number of keys that were destroyed. Reads the whole log.
CREATE FUNCTION apply_erasures() RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM (
    SELECT DISTINCT substr(stream, strpos(stream, '/') + 1) AS person FROM events WHERE right(type, 10) = '.erased.v1'
  ) erased WHERE destroy_person_key(person)
$$;

DO $$ BEGIN
  EXECUTE format('ALTER FUNCTION destroy_person_key(text) SET search_path = %I, pg_temp', current_schema());
END $$;

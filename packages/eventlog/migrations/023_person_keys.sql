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

-- The table is changed by these functions alone: docs/database-roles.md. A row comes with a key and is never deleted, and a destroyed key
-- does not come back.

-- Makes the keys of persons that have no row, and returns the rows. One that another transaction makes at the same moment may be missing.
CREATE FUNCTION make_person_keys(persons text[], keys bytea[], by text) RETURNS SETOF person_keys LANGUAGE sql AS $$
  WITH made AS (
    INSERT INTO person_keys (person, wrapped, wrapped_by)
      SELECT n.person, n.wrapped, by FROM unnest(persons, keys) AS n(person, wrapped)
      ON CONFLICT (person) DO NOTHING
      RETURNING *)
  SELECT * FROM made UNION ALL SELECT * FROM person_keys k WHERE k.person = ANY (persons)
$$;

-- Puts keys that are wrapped anew in the place of those that were read. One that was destroyed meanwhile stays so.
CREATE FUNCTION rewrap_person_keys(persons text[], former bytea[], keys bytea[], by text) RETURNS void LANGUAGE sql AS $$
  UPDATE person_keys k SET wrapped = n.wrapped, wrapped_by = by
    FROM unnest(persons, former, keys) AS n(person, former, wrapped)
    WHERE k.person = n.person AND k.wrapped = n.former
$$;

CREATE FUNCTION person_of(stream text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT substr(stream, strpos(stream, '/') + 1) $$;

-- Destroys the key of a person; whether there was one. For the owner, and what runs with its rights.
CREATE FUNCTION end_person_key(id text) RETURNS boolean LANGUAGE sql AS $$
  WITH destroyed AS (
    INSERT INTO person_keys AS k (person, wrapped, wrapped_by, erased_at) VALUES (id, NULL, '', log_clock())
      ON CONFLICT (person) DO UPDATE SET wrapped = NULL, erased_at = excluded.erased_at WHERE k.erased_at IS NULL
      RETURNING 1)
  SELECT EXISTS (SELECT FROM destroyed)
$$;

-- The same for a key that a backup has brought back: for the person of a stream that was erased, by an event in the database or, as far as
-- the database knows, in the archive. Nobody's else.
CREATE FUNCTION destroy_person_key(of_stream text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM events e WHERE e.stream = of_stream AND right(e.type, 10) = '.erased.v1')
    OR EXISTS (SELECT FROM archived_ends a WHERE a.stream = of_stream)
  THEN
    RETURN end_person_key(person_of(of_stream));
  END IF;
  RETURN false;
END $$;

-- An event `<domain>.<entity>.erased` destroys the key of the person whose id is the stream's, in its own transaction. So no
-- crash comes between the two.
CREATE FUNCTION erase_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM end_person_key(person_of(NEW.stream));
  RETURN NULL;
END $$;
CREATE TRIGGER erase_person AFTER INSERT ON events FOR EACH ROW
  WHEN (right(NEW.type, 10) = '.erased.v1') EXECUTE FUNCTION erase_person();

-- Destroys the keys of all persons that the log says are erased: to be called by the owner after the table was restored from a backup,
-- which has keys of persons who were erased since. Returns the number of keys that were destroyed. Reads the whole log.
CREATE FUNCTION apply_erasures() RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM (
    SELECT DISTINCT person_of(stream) AS person FROM events WHERE right(type, 10) = '.erased.v1'
  ) erased WHERE end_person_key(person)
$$;

DO $$
DECLARE
  part regprocedure;
BEGIN
  FOREACH part IN ARRAY ARRAY['make_person_keys(text[], bytea[], text)', 'rewrap_person_keys(text[], bytea[], bytea[], text)',
    'destroy_person_key(text)']::regprocedure[]
  LOOP
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp', part, current_schema());
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', part);
  END LOOP;
END $$;

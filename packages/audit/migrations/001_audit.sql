-- The audit log of a database: docs/audit.md. Records are added by add() and dropped by drop_expired(), which have the owner's rights;
-- an application has no right to change these tables.

CREATE TABLE records (
  position    bigint      NOT NULL, -- without a gap
  recorded_at timestamptz NOT NULL, -- whole milliseconds; never goes back
  kind        text        COLLATE "C" NOT NULL,
  subject     text        COLLATE "C" NOT NULL,
  method      text        COLLATE "C" NOT NULL,
  resource    text        COLLATE "C" NOT NULL,
  writer      text        NOT NULL, -- the session that has added it: role, address, name
  place       text        NOT NULL, -- the server and its timeline: another one after a fail-over
  body        text        NOT NULL CHECK (octet_length(body) <= 8000), -- what the writer says, as JSON; the columns above are copies
  hash        bytea       NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX ON records (recorded_at, position);
CREATE INDEX ON records (position);
CREATE INDEX ON records (kind, position);
CREATE INDEX ON records (subject, position);
CREATE INDEX ON records (method, position);
CREATE INDEX ON records (resource, position);

-- The ends of months that were dropped: from the last one on the chain can be verified. A record in the chain says the same.
CREATE TABLE dropped (
  month      date        PRIMARY KEY,
  position   bigint      NOT NULL,
  hash       bytea       NOT NULL,
  dropped_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- How many whole months are kept behind the present one.
CREATE TABLE retention (
  id     boolean PRIMARY KEY DEFAULT true CHECK (id),
  months int     NOT NULL CHECK (months BETWEEN 1 AND 1200)
);
INSERT INTO retention (months) VALUES (24);

-- Whoever adds or drops takes turns until the end of its transaction.
CREATE FUNCTION take_turn() RETURNS void LANGUAGE sql AS $$
  SELECT pg_advisory_xact_lock(1635083369, 'records'::regclass::oid::int)
$$;

-- Makes the partition of the month (UTC) of this moment. In the turn. A partition that is made apart and attached waits for no reader of
-- the table, such as a dump of many hours: "PARTITION OF" would.
CREATE FUNCTION make_month(moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  first_day timestamp := date_trunc('month', moment AT TIME ZONE 'UTC');
  name      text      := 'records_' || to_char(first_day, 'YYYY_MM');
BEGIN
  IF EXISTS (SELECT FROM pg_class c WHERE c.relname = name AND c.relnamespace = current_schema()::regnamespace) THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE TABLE %I (LIKE records INCLUDING ALL) WITH (autovacuum_freeze_min_age = 0)', name);
  EXECUTE format('ALTER TABLE records ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
    name, first_day || '+00', first_day + interval '1 month' || '+00');
END $$;

-- Makes the partitions of this month and the next two, so that no record has to wait for one. What is in use is made in a later call.
CREATE FUNCTION make_months() RETURNS void LANGUAGE plpgsql
SET lock_timeout = '100ms'
AS $$
BEGIN
  PERFORM take_turn();
  PERFORM make_month((date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + n * interval '1 month') AT TIME ZONE 'UTC')
    FROM generate_series(0, 2) n;
EXCEPTION WHEN lock_not_available THEN
END $$;
SELECT make_months();

-- Where the chain ends.
CREATE FUNCTION chain_end(OUT "position" bigint, OUT recorded_at timestamptz, OUT hash bytea) LANGUAGE plpgsql STABLE AS $$
BEGIN
  SELECT r.position, r.recorded_at, r.hash INTO position, recorded_at, hash
    FROM records r ORDER BY r.recorded_at DESC, r.position DESC LIMIT 1;
  IF NOT FOUND THEN
    SELECT d.position, '-infinity', d.hash INTO position, recorded_at, hash FROM dropped d ORDER BY d.position DESC LIMIT 1;
  END IF;
  position := coalesce(position, 0);
  recorded_at := coalesce(recorded_at, '-infinity');
  hash := coalesce(hash, '');
END $$;

-- The server and its timeline, as far as it tells: as in a log's epochs.
CREATE FUNCTION server_place() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
  known text := '';
BEGIN
  BEGIN
    SELECT s.system_identifier::text INTO known FROM pg_control_system() s;
  EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
  END;
  BEGIN
    known := known || ' ' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8);
  EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
  END;
  RETURN known;
END $$;

-- Adds records, each the JSON of one, and returns where the chain ends then. `durable`: the commit waits for the disk. Who is connected
-- is said by the server, and covered by the hash.
CREATE FUNCTION add(bodies text[], durable boolean, OUT "position" bigint, OUT recorded_at timestamptz, OUT hash bytea)
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  body   text;
  fields jsonb;
  writer text := concat_ws(' ', session_user, host(inet_client_addr()), left(current_setting('application_name'), 64));
  place  text := server_place();
BEGIN
  IF cardinality(bodies) > 1000 THEN
    RAISE EXCEPTION 'At most 1000 records are added at once' USING ERRCODE = 'program_limit_exceeded';
  END IF;
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'add() needs the isolation level READ COMMITTED: it must see what was committed before its turn'
      USING ERRCODE = 'invalid_transaction_state';
  END IF;
  IF durable THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  PERFORM take_turn();
  SELECT e.position, greatest(e.recorded_at, date_trunc('milliseconds', clock_timestamp())), e.hash
    INTO position, recorded_at, hash FROM chain_end() e;
  PERFORM make_month(recorded_at);
  FOREACH body IN ARRAY bodies LOOP
    fields := body::jsonb;
    position := position + 1;
    hash := sha256(hash || convert_to(
      concat_ws(E'\n', position, round(extract(epoch FROM recorded_at) * 1000)::bigint, writer, place, body), 'UTF8'));
    INSERT INTO records AS r (position, recorded_at, kind, subject, method, resource, writer, place, body, hash) VALUES (
      position, recorded_at, coalesce(fields->>'kind', ''), coalesce(fields->>'subject', ''), coalesce(fields->>'method', ''),
      coalesce(fields->>'resource', ''), writer, place, body, hash);
  END LOOP;
END $$;

-- Drops the oldest month if it is older than the retention, by the clock and by the log's own time, and writes that into the chain. At
-- most one a day, so that a clock that is wrong for a while takes no more than that. Returns their number. What is in use is dropped in a
-- later call.
CREATE FUNCTION drop_expired() RETURNS int LANGUAGE plpgsql
SET lock_timeout = '100ms'
AS $$
DECLARE
  kept int := (SELECT r.months FROM retention r);
  part record;
  last record;
BEGIN
  PERFORM take_turn();
  IF EXISTS (SELECT FROM dropped d WHERE d.dropped_at > clock_timestamp() - interval '1 day') THEN
    RETURN 0;
  END IF;
  SELECT c.relname AS name, to_date(substr(c.relname, 9), 'YYYY_MM') AS month INTO part FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname ~ '^records_[0-9]{4}_[0-9]{2}$'
    ORDER BY 1 LIMIT 1;
  IF NOT FOUND OR (part.month + make_interval(months => kept + 1)) AT TIME ZONE 'UTC'
      > least(clock_timestamp(), (SELECT e.recorded_at FROM chain_end() e)) THEN
    RETURN 0;
  END IF;
  EXECUTE format('SELECT position, hash FROM %I ORDER BY position DESC LIMIT 1', part.name) INTO last;
  EXECUTE format('DROP TABLE %I', part.name);
  IF last.position IS NOT NULL THEN
    INSERT INTO dropped (month, position, hash) VALUES (part.month, last.position, last.hash);
    PERFORM add(ARRAY[json_build_object(
      'time', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'kind', 'RETENTION', 'subject', session_user,
      'resource', to_char(part.month, 'YYYY-MM'), 'outcome', last.position || ':' || encode(last.hash, 'hex'))::text], false);
  END IF;
  RETURN 1;
EXCEPTION WHEN lock_not_available THEN
  RETURN 0;
END $$;

DO $$
DECLARE
  part regprocedure;
BEGIN
  FOREACH part IN ARRAY ARRAY['add(text[], boolean)', 'make_months()', 'drop_expired()']::regprocedure[] LOOP
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp', part, current_schema());
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', part);
  END LOOP;
END $$;

-- The roles that were granted what an application needs: those that may add records. Whoever may only read them is none.
CREATE FUNCTION applications() RETURNS SETOF name LANGUAGE sql STABLE AS $$
  SELECT DISTINCT pg_get_userbyid(a.grantee) FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
  WHERE p.oid = 'add(text[], boolean)'::regprocedure AND a.grantee NOT IN (0, p.proowner)
$$;

-- What a role may do with the audit log that an application may not, in words; null if there is nothing. What it is beyond that, the
-- function of a log's schema says.
CREATE FUNCTION excess_of(app name) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF has_schema_privilege(app, current_schema(), 'CREATE') THEN
    RETURN format('it may make tables and functions in the schema %s', current_schema());
  END IF;
  RETURN (
    SELECT format('it may do more with %s.%s than read it', current_schema(), c.relname) FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v') AND (
      pg_has_role(app, c.relowner, 'MEMBER')
      OR has_table_privilege(app, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
      OR has_any_column_privilege(app, c.oid, 'INSERT, UPDATE, REFERENCES'))
    ORDER BY c.relname LIMIT 1);
END $$;

-- As in a log's schema.
CREATE FUNCTION grant_application(app name) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  item   record;
  excess text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('caudal.grants.' || current_schema(), 0));
  IF NOT has_schema_privilege(app, current_schema(), 'USAGE') THEN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), app);
  END IF;
  FOR item IN
    SELECT format('ON TABLE %s', c.oid::regclass) AS what, 'SELECT' AS rights FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND NOT has_table_privilege(app, c.oid, 'SELECT')
    UNION ALL
    SELECT format('ON FUNCTION %s', p.oid::regprocedure), 'EXECUTE' FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.prosecdef AND NOT has_function_privilege(app, p.oid, 'EXECUTE')
  LOOP
    EXECUTE format('GRANT %s %s TO %I', item.rights, item.what, app);
  END LOOP;
  excess := excess_of(app);
  IF excess IS NOT NULL THEN
    RAISE EXCEPTION 'The role % may do more with the audit log than an application may: %', app, excess
      USING ERRCODE = 'invalid_grant_operation',
        HINT = 'Revoke what it was granted, and its memberships in roles that may do that, or choose another role.';
  END IF;
END $$;

-- It is asked from other schemas.
DO $$ BEGIN
  EXECUTE format('ALTER FUNCTION excess_of(name) SET search_path = %I, pg_temp', current_schema());
END $$;

-- What the application's role may do: docs/database-roles.md. The owner's role is the one that migrates.

-- The rights on a table or view of this schema. Facts can only be read: what adds them are functions. A table that is not named here can
-- only be read, too: a migration that adds one whose rows are there to be changed names it here anew.
CREATE FUNCTION rights_of(table_name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN table_name IN ('checkpoints', 'commands', 'followers', 'handler_cursors', 'jobs', 'members', 'parked_streams', 'snapshots',
      'stream_owners', 'timers', 'generations')
      -- Views: no other table has a point in its name.
      OR position('.' IN table_name) > 0
    THEN 'SELECT, INSERT, UPDATE, DELETE'
    ELSE 'SELECT' END
$$;

-- The roles that were granted what an application needs: those that may append.
CREATE FUNCTION applications() RETURNS SETOF name LANGUAGE sql STABLE AS $$
  SELECT DISTINCT pg_get_userbyid(a.grantee) FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
  WHERE p.pronamespace = current_schema()::regnamespace AND p.proname = 'append' AND p.prosecdef AND a.grantee NOT IN (0, p.proowner)
$$;

-- Grants to the applications what they may do with a table of this schema. Nothing changes if they have it.
CREATE FUNCTION grant_on(table_name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  app    name;
  rights text := rights_of(table_name);
BEGIN
  FOR app IN SELECT * FROM applications() LOOP
    IF NOT (
      SELECT bool_and(has_table_privilege(app, format('%I.%I', current_schema(), table_name), r))
      FROM unnest(string_to_array(rights, ', ')) r
    ) THEN
      EXECUTE format('GRANT %s ON %I TO %I', rights, table_name, app);
    END IF;
  END LOOP;
END $$;

-- What a role may do that an application may not, in words; null if there is nothing.
CREATE FUNCTION excess_of(app name) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
  found text;
BEGIN
  SELECT 'it is a superuser, may make roles, or may replicate' INTO found
    FROM pg_roles r WHERE r.rolname = app AND (r.rolsuper OR r.rolcreaterole OR r.rolreplication);
  IF found IS NOT NULL THEN
    RETURN found;
  END IF;
  SELECT format('it is a member of %s', m.rolname) INTO found FROM pg_roles m
    WHERE m.rolname IN ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program', 'pg_maintain')
      AND pg_has_role(app, m.oid, 'MEMBER') ORDER BY 1 LIMIT 1;
  IF found IS NOT NULL THEN
    RETURN found;
  END IF;
  SELECT format('it owns the database %s, or is a member of its owner', d.datname) INTO found FROM pg_database d
    WHERE d.datname = current_database() AND pg_has_role(app, d.datdba, 'MEMBER');
  IF found IS NOT NULL THEN
    RETURN found;
  END IF;
  IF has_schema_privilege(app, current_schema(), 'CREATE') THEN
    RETURN format('it may make tables and functions in the schema %s', current_schema());
  END IF;
  SELECT format('it may do more with %s.%s than read it', current_schema(), c.relname) INTO found FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v') AND rights_of(c.relname) = 'SELECT'
      AND (
        pg_has_role(app, c.relowner, 'MEMBER')
        OR has_table_privilege(app, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
        OR has_any_column_privilege(app, c.oid, 'INSERT, UPDATE, REFERENCES')
      )
    ORDER BY c.relname LIMIT 1;
  IF found IS NOT NULL THEN
    RETURN found;
  END IF;
  IF current_setting('server_version_num')::int >= 150000 THEN
    EXECUTE 'SELECT CASE WHEN has_parameter_privilege($1, ''session_replication_role'', ''SET'') THEN ''it may set session_replication_role'' END'
      INTO found USING app;
  END IF;
  RETURN found;
END $$;

-- Grants to a role all that an application needs in this schema. May be repeated.
CREATE FUNCTION grant_application(app name) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  item   record;
  excess text;
BEGIN
  -- One at a time: two grants on one table at the same moment are an error.
  PERFORM pg_advisory_xact_lock(hashtextextended('caudal.grants.' || current_schema(), 0));
  -- What the server says of itself is what an epoch is told by: it must say the same to both roles.
  SELECT f.signature INTO item FROM (VALUES ('pg_control_system()'), ('pg_walfile_name(pg_lsn)'), ('pg_current_wal_insert_lsn()')) f(signature)
    WHERE has_function_privilege(f.signature, 'EXECUTE') AND NOT has_function_privilege(app, f.signature, 'EXECUTE');
  IF item.signature IS NOT NULL THEN
    RAISE EXCEPTION 'The role % may not call %, which the owner may', app, item.signature
      USING ERRCODE = 'invalid_grant_operation',
        HINT = format('Have an administrator run: GRANT EXECUTE ON FUNCTION %s TO %I', item.signature, app);
  END IF;
  IF NOT has_schema_privilege(app, current_schema(), 'USAGE') THEN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), app);
  END IF;
  -- First, since append() makes the role one of the applications.
  FOR item IN
    SELECT p.oid::regprocedure AS signature FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.prosecdef AND NOT has_function_privilege(app, p.oid, 'EXECUTE')
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', item.signature, app);
  END LOOP;
  PERFORM grant_on(c.relname) FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v') AND pg_has_role(c.relowner, 'USAGE');
  -- Tables that a process of an earlier version makes as the owner can at least be read.
  IF NOT EXISTS (
    SELECT FROM pg_default_acl d CROSS JOIN LATERAL aclexplode(d.defaclacl) a
    WHERE d.defaclnamespace = current_schema()::regnamespace AND d.defaclobjtype = 'r'
      AND pg_get_userbyid(d.defaclrole) = current_user AND pg_get_userbyid(a.grantee) = app
  ) THEN
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO %I', current_schema(), app);
  END IF;
  excess := excess_of(app);
  IF excess IS NOT NULL THEN
    RAISE EXCEPTION 'The role % may do more than an application may: %', app, excess
      USING ERRCODE = 'invalid_grant_operation',
        HINT = 'Revoke what it was granted, and its memberships in roles that may do that, or choose another role.';
  END IF;
END $$;

-- The month's table comes with its grants: the functions of the month read it by its own name.
CREATE OR REPLACE FUNCTION make_living_partition(moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  first_day timestamp := date_trunc('month', moment AT TIME ZONE 'UTC');
  suffix    text      := to_char(first_day, 'YYYY_MM');
  name      text      := 'events_' || suffix;
  lower     text      := first_day || '+00';
  upper     text      := first_day + interval '1 month' || '+00';
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('caudal.partitions.' || current_schema(), 0));
  IF NOT EXISTS (SELECT FROM pg_class c WHERE c.relname = name AND c.relnamespace = current_schema()::regnamespace) THEN
    -- Events never change, so the vacuum after many inserts freezes them for good.
    EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING ALL, UNIQUE (position), UNIQUE (stream, version))
      WITH (autovacuum_freeze_min_age = 0)', name);
    EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, lower, upper);
    PERFORM grant_on(name);
  END IF;
  IF lacks_functions(suffix) THEN
    PERFORM make_month_functions(suffix);
  END IF;
END $$;

-- As in 011_partitions_ahead.sql, two years ahead at most: the application may call it with any number.
CREATE OR REPLACE FUNCTION make_partitions(ahead int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  log_time timestamptz;
BEGIN
  -- Months that lack their functions get them first: the end of the log is read by them.
  PERFORM make_partition(month_begins(m.month)) FROM months m WHERE lacks_functions(month_suffix(m.month));
  log_time := greatest(log_clock(), (SELECT e.recorded_at FROM log_end() e));
  -- Months are added in UTC: in a session of another time zone, 30 November, 19:00 and a month is not January.
  PERFORM make_partition(
    (date_trunc('month', log_clock() AT TIME ZONE 'UTC') + n * interval '1 month') AT TIME ZONE 'UTC')
  FROM generate_series(0, least(ahead, 24)) AS n;
  PERFORM make_partition(log_time);
  PERFORM make_claims_partition(log_time + n * interval '240 hours') FROM generate_series(0, 7) AS n;
END $$;

-- Partitions of claims that have all ended for a day, by the clock and by the log's own time.
CREATE FUNCTION expired_claims() RETURNS TABLE (name text, state text) LANGUAGE sql STABLE AS $$
  SELECT c.relname::text,
    CASE WHEN i.inhrelid IS NULL THEN 'detached' WHEN i.inhdetachpending THEN 'pending' ELSE 'attached' END
  FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
  WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname ~ '^claims_[0-9]+$'
    AND to_timestamp((substr(c.relname, 8)::bigint + 1) * 864000) + interval '1 day'
      <= least(log_clock(), (SELECT e.recorded_at FROM log_end() e))
  ORDER BY 1
$$;

-- Drops them, for an application, which can't detach a partition concurrently: that is no statement for a function. So appends wait,
-- for as long as this may wait for a lock. Returns those that an older transaction keeps.
CREATE FUNCTION drop_expired_claims(OUT dropped text[], OUT in_use text[]) LANGUAGE plpgsql
SET lock_timeout = '20ms'
AS $$
DECLARE
  part text;
BEGIN
  dropped := '{}';
  in_use := '{}';
  FOR part IN SELECT e.name FROM expired_claims() e LOOP
    BEGIN
      EXECUTE format('DROP TABLE IF EXISTS %I', part);
      dropped := dropped || part;
    EXCEPTION WHEN lock_not_available THEN
      in_use := in_use || part;
      RETURN;
    END;
  END LOOP;
END $$;

-- Ends what is kept for version 0.2, seven days after its last append.
CREATE FUNCTION end_former_version() RETURNS boolean LANGUAGE sql AS $$ SELECT end_former_version(7) $$;

-- Notes the epoch if the log has gone on in another place. With arguments, which can call what was appended lost, only the owner may.
CREATE FUNCTION begin_epoch() RETURNS bigint LANGUAGE sql AS $$ SELECT begin_epoch(false, NULL) $$;

-- What needs the owner's rights has them. Their search_path names no schema in which others can make anything. Facts are added by
-- append() alone: positions, versions and times are what it makes them.
DO $$
DECLARE
  part regprocedure;
BEGIN
  FOR part IN
    SELECT p.oid FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace AND (
      p.proname = 'append' AND 'u_parts' = ANY (p.proargnames)
      OR p.proname IN ('make_partitions', 'drop_former_commands', 'drop_expired_claims')
      OR p.proname IN ('end_former_version', 'begin_epoch') AND p.pronargs = 0)
  LOOP
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp', part, current_schema());
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', part);
  END LOOP;
END $$;

-- As in 024_roles.sql, with the tables that contexts have of their own. Traces are facts: they can be added, and not changed.
CREATE OR REPLACE FUNCTION rights_of(table_name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN table_name IN ('checkpoints', 'commands', 'followers', 'handler_cursors', 'jobs', 'members', 'parked_streams', 'snapshots',
      'stream_owners', 'timers', 'generations', 'parcels', 'parcel_changes', 'trace_inbox')
      -- Views: no other table has a point in its name.
      OR position('.' IN table_name) > 0
    THEN 'SELECT, INSERT, UPDATE, DELETE'
    WHEN table_name = 'traces' OR table_name ~ '^traces_[0-9]{4}_[0-9]{2}$'
    THEN 'SELECT, INSERT'
    ELSE 'SELECT' END
$$;

-- Traces, parcels and the inbox of traces: services/tracking/README.md says why they are so.

-- What carriers have said. Rows are only added, by the worker. The unique index is that of each partition: (parcel, id) finds a
-- duplicate of the same month, and all traces of a parcel stand together in it.
CREATE TABLE traces (
  parcel      uuid        NOT NULL,
  id          uuid        NOT NULL,
  happened_at timestamptz NOT NULL,
  body        bytea       NOT NULL -- the trace, as it came: protobuf
) PARTITION BY RANGE (happened_at);

-- One row for each parcel: all that its page shows.
CREATE TABLE parcels (
  parcel           uuid        PRIMARY KEY, -- a hash of carrier and tracking number
  carrier          text        NOT NULL,    -- as the first trace or the shipment spells it
  carrier_key      text        COLLATE "C" NOT NULL,
  tracking_number  text        NOT NULL,
  revision         int         NOT NULL DEFAULT 0,
  status           smallint    NOT NULL DEFAULT 0,
  done             boolean     NOT NULL DEFAULT false,
  first_at         timestamptz, -- of its traces
  last_at          timestamptz,
  last_day         date,        -- of last_at, which changes rarely: most writes touch no index
  eta              timestamptz,
  shipment         text        COLLATE "C",
  shipment_version int         NOT NULL DEFAULT 0,
  order_id         text,
  customer         text        COLLATE "C",
  created_at       timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
  updated_at       timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
  traces           int         NOT NULL DEFAULT 0,
  state            text         -- what its traces come to, with the latest of them: JSON
) WITH (fillfactor = 70);
CREATE INDEX ON parcels (created_at, parcel);
CREATE INDEX ON parcels (status, created_at, parcel);
CREATE INDEX ON parcels (carrier_key, created_at, parcel);
CREATE INDEX ON parcels (customer, created_at, parcel) WHERE customer IS NOT NULL;
CREATE INDEX ON parcels (shipment) WHERE shipment IS NOT NULL;
CREATE INDEX ON parcels (eta, parcel) WHERE NOT done AND eta IS NOT NULL;
CREATE INDEX ON parcels (last_day, parcel) WHERE NOT done AND last_day IS NOT NULL;

-- Changes of status that are not yet events of the log: written with the parcel, deleted once the event is there.
CREATE TABLE parcel_changes (
  parcel      uuid        PRIMARY KEY,
  carrier     text        NOT NULL,
  tracking_number text    NOT NULL,
  status      smallint    NOT NULL,
  sub_status  text        NOT NULL,
  since       timestamptz,
  revision    int         NOT NULL,
  taken_until timestamptz NOT NULL DEFAULT '-infinity'
);

-- Traces that are accepted and not yet written, if there is no broker. The worker deletes a row in the transaction that writes its traces.
CREATE TABLE trace_inbox (
  position    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  traces      int         NOT NULL,
  body        bytea       NOT NULL -- a TraceBatch
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_insert_scale_factor = 0,
  autovacuum_vacuum_insert_threshold = 20000);
ALTER TABLE trace_inbox ALTER COLUMN body SET STORAGE EXTERNAL;

-- Makes the partition of the month of this day, unless it is there. Only an owner may; make_trace_partitions() has its rights.
CREATE FUNCTION make_trace_partition(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  first_day date := date_trunc('month', month::timestamp)::date;
  name      text := 'traces_' || to_char(first_day, 'YYYY_MM');
BEGIN
  IF EXISTS (SELECT FROM pg_class c WHERE c.relname = name AND c.relnamespace = current_schema()::regnamespace) THEN
    RETURN;
  END IF;
  -- Made apart and attached, it waits for no reader of the table. Its rows never change, so they are frozen for good.
  EXECUTE format('CREATE TABLE %I (LIKE traces INCLUDING ALL, UNIQUE (parcel, id)) WITH (autovacuum_freeze_min_age = 0)', name);
  EXECUTE format('ALTER TABLE traces ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
    name, first_day || ' 00:00:00+00', (first_day + interval '1 month')::date || ' 00:00:00+00');
  PERFORM grant_on(name);
END $$;

-- Makes the partitions of these months: 21 years back and four months ahead at most, whatever an application calls it with.
CREATE FUNCTION make_trace_partitions(months date[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('caudal.trace_partitions.' || current_schema(), 0));
  PERFORM make_trace_partition(m) FROM unnest(months) m
    WHERE m BETWEEN (clock_timestamp() AT TIME ZONE 'UTC' - interval '252 months')::date
      AND (clock_timestamp() AT TIME ZONE 'UTC' + interval '4 months')::date;
END $$;

-- Makes those of the last month, this one and the next three.
CREATE FUNCTION make_trace_partitions() RETURNS void LANGUAGE sql AS $$
  SELECT make_trace_partitions(array_agg((date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + n * interval '1 month')::date))
  FROM generate_series(-1, 3) n
$$;

SELECT make_trace_partitions();

DO $$
DECLARE
  part regprocedure;
BEGIN
  FOREACH part IN ARRAY ARRAY['make_trace_partitions(date[])', 'make_trace_partitions()']::regprocedure[] LOOP
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp', part, current_schema());
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', part);
  END LOOP;
END $$;

/** The queue and the worker of the tracking context on a database of their own, in this process. */
import type { TrackingQueryServiceService } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { migrations as logMigrations } from '@caudal/eventlog/migrations.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { Broker } from '@caudal/messaging/rabbitmq/connection.ts';
import { timestamptzArray } from '@caudal/postgres/arrays.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { migrations } from '@caudal/service-tracking/migrations.ts';
import { trackingQueryService } from '@caudal/service-tracking/queries/tracking-query-service.ts';
import { openQueue } from '@caudal/service-tracking/queue/open-queue.ts';
import type { TraceQueue } from '@caudal/service-tracking/queue/types.ts';
import { startWorker } from '@caudal/service-tracking/worker.ts';
import { until } from '@caudal/testing/until.ts';
import { Client } from 'pg';
import { copyIn } from '../copy-in.ts';

const schema = 'tracking';
const batch = 1_000;
const callers = 4;
const maxTraces = 10_000_000;

export async function openTraceStore({ url, broker }: { url: string; broker?: Broker }) {
  await migrate({ url, schema, sets: [logMigrations, migrations] });
  const open = () => openDatabase({ url, schema, derived: true, statementTimeoutMs: 7_200_000 });
  const database = open();
  // A database has one queue, as a process has.
  const ofBroker = open();
  const queues = {
    inbox: openQueue({ database, broker: undefined, maxTraces }),
    rabbitmq: broker && openQueue({ database: ofBroker, broker, maxTraces }),
  };

  /** Has four callers put them, and waits until all are written. Traces a second. */
  async function write(bodies: readonly Uint8Array[], through: 'inbox' | 'rabbitmq' = 'inbox'): Promise<number> {
    const queue = queues[through];
    if (!queue) throw new Error('There is no broker.');
    let written = 0;
    const count = (taken: number) => {
      written += taken;
    };
    const began = performance.now();
    const worker = startWorker({
      ...{ queue: counting(queue, count), clock: systemClock, rate: 0, pollMs: 10 },
      onChanges: () => {},
    });
    try {
      for (let from = 0; from < bodies.length; from += callers * batch)
        await Promise.all(
          Array.from({ length: callers }, (_, caller) =>
            queue.put(bodies.slice(from + caller * batch, from + (caller + 1) * batch)),
          ),
        );
      await until(() => written >= bodies.length, 600_000);
      return bodies.length / ((performance.now() - began) / 1_000);
    } finally {
      await worker.stop();
    }
  }

  /** The same bytes by one COPY into a table without an index, and nothing that follows from them. Rows a second. */
  async function copy(bodies: readonly Uint8Array[]): Promise<number> {
    await database.query({ text: 'CREATE TABLE IF NOT EXISTS bare (id uuid, happened_at timestamptz, body bytea)' });
    await database.query({ text: 'TRUNCATE bare' });
    const client = new Client({ connectionString: url });
    await client.connect();
    try {
      const began = performance.now();
      const at = new Date().toISOString();
      await copyIn(client, `COPY ${schema}.bare FROM STDIN`, copyRows(bodies, at));
      return bodies.length / ((performance.now() - began) / 1_000);
    } finally {
      await client.end();
    }
  }

  return {
    database,
    queries: trackingQueryService({ database, clock: systemClock, archive: undefined })
      .handlers as unknown as Handlers<TrackingQueryServiceService>,
    write,
    copy,
    /** Deletes all traces and parcels. */
    async empty(): Promise<void> {
      await database.query({ text: 'TRUNCATE traces, parcels, parcel_places, parcel_changes, trace_inbox' });
    },
    /** A hash of each parcel's row, without what tells of how it was written. */
    async parcels(): Promise<Map<string, string>> {
      const rows = await database.query<{ parcel: string; hash: string }>({
        text: `SELECT parcel::text, md5(row(tracking_number, status, done, first_at, last_at, last_day, eta, traces, state::jsonb,
            (SELECT count(*) FROM traces t WHERE t.parcel = p.parcel))::text) AS hash
          FROM parcels p`,
      });
      return new Map(rows.map(({ parcel, hash }) => [parcel, hash]));
    },
    /** Fills it with old traces of other parcels, spread over 24 months. `state`: what all these parcels have. */
    async fill(count: number, say: (what: string) => void): Promise<void> {
      const now = new Date();
      const months = Array.from(
        { length: 24 },
        (_, n) => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - n)),
      );
      await database.query({
        text: `SELECT make_trace_partitions(array_agg((m AT TIME ZONE 'UTC')::date)) FROM unnest($1::timestamptz[]) m`,
        values: [timestamptzArray(months.map((month) => month.getTime()))],
      });
      const [known] = await database.query<{ state: string }>({
        text: 'SELECT state FROM parcels WHERE state IS NOT NULL LIMIT 1',
      });
      if (!known) throw new Error('Write some traces first: their state is that of all parcels.');
      const each = Math.ceil(count / months.length);
      for (const [place, month] of months.entries()) {
        say(`old traces: month ${place + 1} of ${months.length}`);
        await database.query({
          text: `INSERT INTO traces (parcel, id, happened_at, body)
            SELECT md5($1::text || '-' || n / 4)::uuid, md5($1::text || '+' || n)::uuid,
              $2::timestamptz + (n % 27) * interval '1 day', decode(repeat('00', 150), 'hex')
            FROM generate_series(0, $3::int - 1) n`,
          values: [String(place), month, each],
        });
        await database.query({
          text: `INSERT INTO parcels (parcel, carrier, carrier_key, tracking_number, status, first_at, last_at, last_day, traces, state)
            SELECT md5($1::text || '-' || n)::uuid, 'Old', 'OLD', $1::text || '-' || n, 2, $2::timestamptz, $2::timestamptz,
              ($2::timestamptz AT TIME ZONE 'UTC')::date, 4, $4::text
            FROM generate_series(0, ($3::int - 1) / 4) n`,
          values: [String(place), month, each, known.state],
        });
      }
      // As autovacuum would have done over time: it must not run during the measurement.
      await database.query({ text: 'VACUUM (ANALYZE, FREEZE)' });
      await database.query({ text: 'CHECKPOINT' });
    },
    async close(): Promise<void> {
      await Promise.all([database.close(), ofBroker.close()]);
    },
  };
}

export type TraceStore = Awaited<ReturnType<typeof openTraceStore>>;

/** The queue, whose lanes report what was taken out of it: that is after the commit that has written it. */
function counting(queue: TraceQueue, taken: (count: number) => void): TraceQueue {
  return {
    put: queue.put,
    accepted: queue.accepted,
    lane(options) {
      const lane = queue.lane(options);
      return {
        async take(...of) {
          const count = await lane.take(...of);
          taken(count);
          return count;
        },
        stop: () => lane.stop(),
      };
    },
  };
}

/** Rows in COPY's text format, some 64 KiB a chunk. */
function* copyRows(bodies: readonly Uint8Array[], at: string): Generator<Buffer> {
  let lines: string[] = [];
  for (const body of bodies) {
    lines.push(`${newId()}\t${at}\t\\\\x${Buffer.from(body).toString('hex')}\n`);
    if (lines.length < 150) continue;
    yield Buffer.from(lines.join(''));
    lines = [];
  }
  yield Buffer.from(lines.join(''));
}

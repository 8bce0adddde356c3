/** The speed of appends. */
import { randomUUID } from 'node:crypto';
import type { Append, NewEvent } from '@caudal/eventlog/types.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { byteaArray, int4Array, textArray, uuidArray } from '@caudal/postgres/arrays.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { type Event, event } from '@event-driven-io/emmett';
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql';
import { Pool } from 'pg';
import { figureOf, ratioOf } from '../figures.ts';
import { closedLoop, takeTurns } from '../load.ts';
import { migrateLog, openLog } from '../log.ts';
import type { Bench, Figure, Goal } from '../types.ts';

/** The size of a payment's event in the demo. */
const payloadBytes = 160;
const metadataBytes = 120;
const rawRows = 500;
/** The maximum of connections, the same for node-postgres, emmett and Caudal. */
const connections = 16;

const goals: Record<string, Goal> = {
  'vs-emmett.64': { kind: 'atLeast', value: 8 },
  'vs-raw-batch.256': { kind: 'atLeast', value: 0.4 },
};

const payload = Buffer.alloc(payloadBytes, 7);
const metadata = Buffer.alloc(metadataBytes, 9);
/** The same size as text, for emmett's jsonb. */
const json = { content: 'x'.repeat(payloadBytes - 14) };

function newEvent(): NewEvent {
  return { eventId: newId(), type: 'orders.order.changed.v1', schemaVersion: 1, data: payload, metadata };
}

/** One stream per client. Each append expects the version that the append before has left. */
function clientStreams(prefix: string) {
  const versions: number[] = [];
  return (client: number) => {
    const version = versions[client] ?? 0;
    versions[client] = version + 1;
    return { stream: `${prefix}/${client}`, version };
  };
}

async function openCaudal(url: string) {
  await migrateLog(url, 'bench');
  const { log, close } = openLog({ url, schema: 'bench', poolSize: connections });
  const reply = Buffer.alloc(40, 3);
  return {
    /** Appends one event. With `remembered` it has a command id, as every command of a client has. */
    append(stream: string, expected: number, remembered: boolean) {
      const command = remembered ? { key: randomUUID(), hash: Buffer.alloc(16, 1), reply } : undefined;
      const append: Append = { stream, expected, events: [newEvent()], ...(command && { command }) };
      return log.append(append).then(({ kind }) => {
        if (kind !== 'appended') throw new Error(`${stream} at ${expected}: ${kind}`);
      });
    },
    close,
  };
}

/** The table that a log without our guarantees would need: the same columns and the same two unique keys. */
const rawTable = `CREATE TABLE raw_events (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  version int NOT NULL, schema_version int NOT NULL, event_id uuid NOT NULL, stream text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL, metadata bytea NOT NULL, data bytea NOT NULL, UNIQUE (stream, version))`;

async function openRaw(url: string) {
  const database = openDatabase({ url, schema: 'public', poolSize: connections });
  await database.query({ text: rawTable });
  const insert = 'INSERT INTO raw_events (stream, version, schema_version, event_id, type, metadata, data)';
  return {
    /** One row per statement. */
    single(stream: string, version: number) {
      const { eventId, type, schemaVersion, data } = newEvent();
      const values = [stream, version, schemaVersion, eventId, type, metadata, data];
      return database.query({ name: 'single', text: `${insert} VALUES ($1, $2, $3, $4, $5, $6, $7)`, values });
    },
    /** `rawRows` rows in one statement, of as many streams. */
    batch(prefix: string, version: number) {
      const events = Array.from({ length: rawRows }, newEvent);
      const values = [
        textArray(events.map((_, row) => `${prefix}/${row}`)),
        int4Array(events.map(() => version)),
        int4Array(events.map((each) => each.schemaVersion)),
        uuidArray(events.map((each) => each.eventId)),
        textArray(events.map((each) => each.type)),
        byteaArray(events.map((each) => each.metadata)),
        byteaArray(events.map((each) => each.data)),
      ];
      const columns = '$1::text[], $2::int[], $3::int[], $4::uuid[], $5::text[], $6::bytea[], $7::bytea[]';
      return database.query({ name: 'batch', text: `${insert} SELECT * FROM unnest(${columns})`, values });
    },
    close: () => database.close(),
  };
}

async function openEmmett(url: string) {
  const pool = new Pool({ connectionString: url, max: connections });
  const store = getPostgreSQLEventStore(url, { connectionOptions: { pool } });
  await store.schema.migrate();
  return {
    append(stream: string, expected: number) {
      const change: Event = event('changed', json);
      const expectedStreamVersion = expected === 0 ? 'STREAM_DOES_NOT_EXIST' : BigInt(expected);
      return store.appendToStream(stream, [change], { expectedStreamVersion });
    },
    async close() {
      await store.close();
      await pool.end();
    },
  };
}

export const append: Bench = {
  name: 'append',
  title: 'Appending events',
  compares: `Each append has one event of ${payloadBytes} bytes. Each writer has a stream of its own, and expects the version that its last append left. Compared with emmett-postgresql, which does exactly the same; and with rows inserted into a table with a log's columns and its two unique keys: one row per statement, and ${rawRows} rows per statement by two clients. The latter is the upper limit for any log on this server. All use node-postgres with at most ${connections} connections.`,
  needs: ['postgres'],

  async run({ quick, say }) {
    const fresh = await freshDatabase();
    const caudal = await openCaudal(fresh.url);
    const emmett = await openEmmett(fresh.url);
    const raw = await openRaw(fresh.url);
    const seconds = quick ? 1 : 4;
    const figures: Figure[] = [];
    let series = 0;
    const nameOf = (metric: string) => ({ bench: 'append', metric, goal: goals[metric] });
    try {
      for (const clients of [1, 64, 256]) {
        const load = (work: (stream: string, version: number) => Promise<unknown>) => async () => {
          const next = clientStreams(`bench.thing/${series++}`);
          return closedLoop({
            clients,
            seconds,
            work(client) {
              const { stream, version } = next(client);
              return work(stream, version);
            },
          });
        };
        const measured = await takeTurns(
          {
            caudal: load((stream, version) => caudal.append(stream, version, false)),
            'caudal-command': load((stream, version) => caudal.append(stream, version, true)),
            emmett: load((stream, version) => emmett.append(stream, version)),
            'raw-single': load((stream, version) => raw.single(stream, version)),
            'raw-batch': async () => {
              const next = clientStreams(`bench.raw/${series++}`);
              const result = await closedLoop({
                clients: 2,
                seconds,
                work(client) {
                  const { stream, version } = next(client);
                  return raw.batch(stream, version);
                },
              });
              return { ...result, rate: result.rate * rawRows };
            },
          },
          { rounds: quick ? 1 : 5, say: (what) => say(`${clients} writers: ${what}`) },
        );
        const rates = (name: keyof typeof measured) => measured[name].map(({ rate }) => rate);
        for (const name of ['caudal', 'caudal-command', 'emmett', 'raw-single', 'raw-batch'] as const)
          figures.push(figureOf({ ...nameOf(`${name}.${clients}`), unit: '/s' }, rates(name)));
        const p99 = measured.caudal.map((each) => each.p99);
        figures.push(
          figureOf({ ...nameOf(`caudal.p99.${clients}`), unit: 'ms' }, p99),
          ratioOf(nameOf(`vs-emmett.${clients}`), rates('caudal'), rates('emmett')),
          ratioOf(nameOf(`vs-raw-single.${clients}`), rates('caudal'), rates('raw-single')),
          ratioOf(nameOf(`vs-raw-batch.${clients}`), rates('caudal'), rates('raw-batch')),
        );
      }
    } finally {
      await Promise.all([caudal.close(), emmett.close(), raw.close()]);
      await fresh.drop();
    }
    return figures;
  },
};

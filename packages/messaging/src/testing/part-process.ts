/**
 * For the tests of parts: a process that runs a handler with parts, started by `startPartProcess`. Its handler keeps the
 * versions of streams in a table, guarded as a projection's views are, and notes each batch.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { openMembers } from '../members/members.ts';
import { openBroker } from '../rabbitmq/connection.ts';
import { rabbitFeed } from '../rabbitmq/rabbit-feed.ts';
import { followerRegistry } from '../relay/followers.ts';
import { runSubscription } from '../subscription/subscription.ts';
import type { EventHandler, Unfinished } from '../types.ts';

export interface PartProcessOptions {
  url: string;
  schema: string;
  brokerUrl: string;
  prefix: string;
  handler: string;
  parts: number;
}

/** The tables of the handler. */
export async function createSeenTables(database: Database): Promise<void> {
  await database.query({ text: 'CREATE TABLE seen (stream text PRIMARY KEY, version bigint NOT NULL)' });
  await database.query({
    text: `CREATE TABLE batches (
      process integer, streams text[], events integer, gaps integer, lost_races integer, lag_ms float8,
      at timestamptz DEFAULT clock_timestamp())`,
  });
}

/** A handler that keeps what it has seen in these tables. `given` counts what is read from the log again. */
export function seenHandler(database: Database, name: string, parts: number): EventHandler {
  async function versions(streams: string[]): Promise<Map<string, number>> {
    const text = 'SELECT stream, version FROM seen WHERE stream = ANY ($1::text[])';
    const rows = await database.query<{ stream: string; version: number }>({ text, values: [streams] });
    return new Map(rows.map(({ stream, version }) => [stream, version]));
  }
  return {
    name,
    entities: ['orders.order'],
    parts,
    async handle(events) {
      const byStream = Map.groupBy(events, ({ stream }) => stream);
      const before = await versions([...byStream.keys()]);
      const unfinished: Unfinished[] = [];
      const after = new Map<string, number>();
      for (const [stream, list] of byStream) {
        let seen = before.get(stream) ?? 0;
        for (const { version } of list) {
          if (version === seen + 1) seen = version;
          else if (version > seen) {
            unfinished.push({ kind: 'gap', stream, seen });
            break;
          }
        }
        if (seen > (before.get(stream) ?? 0)) after.set(stream, seen);
      }
      const streams = [...after.keys()].sort();
      const written = await database.query({
        text: `INSERT INTO seen AS s (stream, version)
          SELECT stream, version FROM unnest($1::text[], $2::bigint[]) AS n (stream, version)
          ON CONFLICT (stream) DO UPDATE SET version = excluded.version WHERE s.version < excluded.version
          RETURNING stream`,
        values: [streams, streams.map((stream) => after.get(stream)!)],
      });
      const oldest = Math.min(...events.map(({ recordedAt }) => recordedAt.getTime()));
      await database.query({
        text: 'INSERT INTO batches (process, streams, events, gaps, lost_races, lag_ms) VALUES ($1, $2, $3, $4, $5, $6)',
        values: [
          process.pid,
          streams,
          events.length,
          unfinished.length,
          streams.length - written.length,
          after.size > 0 ? Math.max(0, Date.now() - oldest) : 0,
        ],
      });
      return unfinished;
    },
    async seen(heads: RecordedEvent[]) {
      const known = await versions(heads.map(({ stream }) => stream));
      return heads.map(({ stream }) => known.get(stream) ?? 0);
    },
  };
}

/** Runs the handler in this process. Returns what stops it. */
export function runPartHandler(options: PartProcessOptions): { stop(): Promise<void> } {
  const database = openDatabase({ url: options.url, schema: options.schema });
  const log = openEventLog({ database, domain: 'orders' });
  const broker = openBroker({ url: options.brokerUrl, prefix: options.prefix, name: `parts-${process.pid}` });
  const members = openMembers({ database, process: String(process.pid) });
  const handler = seenHandler(database, options.handler, options.parts);
  const running = runSubscription({
    handler,
    feed: rabbitFeed({
      broker,
      handler,
      registries: new Map([['orders', followerRegistry(database, 'orders')]]),
      members,
    }),
    logs: new Map([['orders', log]]),
    database,
    reconciliation: { everyMs: 30_000, minAgeMs: 10_000 },
  });
  return {
    async stop() {
      await running.stop();
      await members.stop();
      await broker.close();
      await log.stop();
      await database.close();
    },
  };
}

/** Starts this file as a process; resolves when it runs. */
export async function startPartProcess(options: PartProcessOptions): Promise<ChildProcess> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url)], {
    env: { ...process.env, PART_PROCESS: JSON.stringify(options) },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout!.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the process has ended with ${code}`)));
  });
  return child;
}

const given = process.env.PART_PROCESS;
if (given && process.argv[1] === fileURLToPath(import.meta.url)) {
  const { stop } = runPartHandler(JSON.parse(given) as PartProcessOptions);
  process.once('SIGTERM', () => void stop().then(() => process.exit(0)));
  process.stdout.write('running\n');
}

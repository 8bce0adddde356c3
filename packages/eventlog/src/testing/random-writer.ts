/**
 * A process that appends at random, for random.test.ts: units of several streams, claims, commands and repeats, with versions
 * that are right or wrong. It sends its parent each append with its result.
 */
import { openDatabase } from '@caudal/postgres/database.ts';
import { openPipeline } from '@caudal/postgres/pipeline.ts';
import { openEventLog } from '../event-log.ts';
import type { Append, AppendResult, Claim, StreamAppend } from '../types.ts';
import { someCommand, someEvent } from './events.ts';

/** A claim as it was asked for, with the outcome that it records. */
export interface AskedClaim {
  id: string;
  expected: Claim['expected'];
  outcome: string | undefined;
}

/** An append, and what became of it: `unknown` if it failed. */
export interface Report {
  parts: { stream: string; expected: StreamAppend['expected']; contents: string[] }[];
  claims: AskedClaim[];
  command: string | undefined;
  result:
    | { kind: 'appended'; versions: number[] }
    | { kind: 'conflict'; parts: { version: number; missing: number[] }[] }
    | { kind: 'claimed'; claims: { place: number; generation: number; outcome: string }[] }
    | { kind: 'duplicate' | 'reused' | 'outdated' | 'unknown' };
}

const claimDays = 7;
const claimScope = 'shared';
const [url, name, ids, rounds] = process.argv.slice(2) as [string, string, string, string];
const claimIds = JSON.parse(ids ?? '[]') as string[];
const writers = 8;

const reports: Report[] = [];
const versions = new Map<string, number>();
const generations = new Map<string, number>();
const old: Append[] = [];
const oneIn = (n: number) => Math.random() * n < 1;
const pick = <T>(from: readonly T[]): T => from[Math.floor(Math.random() * from.length)]!;

function somePart(stream: string, content: string): StreamAppend {
  const version = versions.get(stream) ?? 0;
  const expected = oneIn(4) ? pick(['any', 'must-exist', version + 1] as const) : version;
  const count = oneIn(6) ? 0 : 1 + Math.floor(Math.random() * 2);
  return { stream, expected, events: Array.from({ length: count }, (_, n) => someEvent(`${content}.${stream}.${n}`)) };
}

function someClaim(id: string, content: string): Claim {
  const known = generations.get(id);
  const expected = oneIn(8) ? ('any' as const) : (known ?? ('absent' as const));
  const record = oneIn(3) ? undefined : { kind: 1, outcome: Buffer.from(`${content} ${id}`) };
  return { scope: claimScope, id, days: claimDays, expected, ...(record && { record }) };
}

function makeAppend(content: string): Append {
  if (old.length > 0 && oneIn(8)) return pick(old);
  const shared = Array.from({ length: 6 }, (_, n) => `orders.order/shared-${n}`);
  const streams = new Set([oneIn(3) ? `orders.order/${content}` : pick(shared)]);
  while (oneIn(3)) streams.add(pick(shared));
  const [first, ...also] = [...streams].map((stream) => somePart(stream, content));
  const chosen = new Set(
    Array.from({ length: oneIn(2) ? 1 + Math.floor(Math.random() * 2) : 0 }, () => pick(claimIds)),
  );
  const claims = [...chosen].map((id) => someClaim(id, content));
  // What records claims has an event, by which its place in the order is known.
  if (claims.length > 0 && first!.events.length === 0) first!.events.push(someEvent(`${content}.${first!.stream}.0`));
  const madeAt = Date.now();
  return {
    ...first!,
    ...(also.length > 0 && { also }),
    ...(claims.length > 0 && { claims }),
    ...(oneIn(2) && { command: { ...someCommand(content), ...(oneIn(2) && { madeAt }) } }),
  };
}

function learn(append: Append, result: AppendResult): void {
  const parts = [append, ...(append.also ?? [])];
  if (result.kind === 'appended' || result.kind === 'conflict') {
    const also = result.also?.map((each) => (typeof each === 'number' ? each : each.version)) ?? [];
    for (const [n, version] of [result.version, ...also].entries()) versions.set(parts[n]!.stream, version);
  }
  if (result.kind === 'claimed')
    for (const { place, generation } of result.claims) generations.set(append.claims![place]!.id, generation);
}

function resultOf(result: AppendResult): Report['result'] {
  if (result.kind === 'appended') return { kind: 'appended', versions: [result.version, ...(result.also ?? [])] };
  if (result.kind === 'conflict') {
    const all = [result, ...(result.also ?? [])];
    const parts = all.map(({ version, missing }) => ({ version, missing: missing.map((event) => event.position) }));
    return { kind: 'conflict', parts };
  }
  if (result.kind !== 'claimed') return { kind: result.kind };
  const claims = result.claims.map(({ place, generation, outcome }) => ({
    ...{ place, generation },
    outcome: Buffer.from(outcome).toString(),
  }));
  return { kind: 'claimed', claims };
}

async function write(writer: number): Promise<void> {
  for (let round = 0; round < Number(rounds); round++) {
    const append = makeAppend(`${name}.${writer}.${round}`);
    const outcome = await log.append(append).then(
      (result) => {
        learn(append, result);
        return resultOf(result);
      },
      () => ({ kind: 'unknown' as const }),
    );
    if (append.command) old.push(append);
    reports.push({
      parts: [append, ...(append.also ?? [])].map(({ stream, expected, events }) => ({
        ...{ stream, expected },
        contents: events.map(({ data }) => Buffer.from(data).toString()),
      })),
      claims: (append.claims ?? []).map(({ id, expected, record }) => ({
        ...{ id, expected },
        outcome: record && Buffer.from(record.outcome).toString(),
      })),
      command: append.command?.key,
      result: outcome,
    });
  }
}

const connection = { url, schema: 'orders', poolSize: 2, applicationName: 'random-writer' };
const database = openDatabase(connection);
const appender = openPipeline(connection);
const log = openEventLog({ database, appender, domain: 'orders', retryForMs: 20_000 });
await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
await log.stop();
await Promise.all([appender.close(), database.close()]);
process.send!(reports, () => process.disconnect());

/** What was learnt of how long carriers take: the table `transit_sketches`, a row for each lane and month. docs/parcel-eta.md. */
import type { JobTools } from '@caudal/context/context.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { addSketches, learn, type Sketch, sketchKeys } from '../domain/eta.ts';
import type { ParcelState } from '../domain/parcel-state.ts';
import { laneOf, transitOf } from '../domain/transit.ts';

/** Older months say little of today, and are forgotten. */
const months = 12;

interface Arrived {
  row: { carrier: string; destination: string | null };
  state: ParcelState;
}

interface LearntRow extends Sketch {
  key: string;
  month: string;
}

/** What is to be learnt, by month and key. */
export type Learnt = Map<string, LearntRow>;

/** Adds the transits of these parcels. */
export function addTransits(learnt: Learnt, arrived: readonly Arrived[]): void {
  for (const { row, state } of arrived) {
    const way = { carrier: row.carrier, destination: row.destination ?? undefined, state };
    const sketch = learn(undefined, transitOf(way));
    const month = `${new Date(state.deliveredAt!).toISOString().slice(0, 7)}-01`;
    for (const key of sketchKeys(laneOf(way))) {
      const place = `${month} ${key}`;
      const before = learnt.get(place);
      learnt.set(place, { key, month, ...(before ? addSketches(before, sketch) : sketch) });
    }
  }
}

/**
 * Learns them, in the transaction that notes that they were learnt. Rows are written in the order of their keys, so that two batches
 * never wait for each other in a circle.
 */
export async function learnTransits(tx: Transaction, learnt: Learnt): Promise<void> {
  if (learnt.size === 0) return;
  await tx.query({
    name: 'tracking-learn',
    text: `INSERT INTO transit_sketches AS s (key, month, days, hours)
      SELECT u.key, u.month, u.days, u.hours FROM jsonb_to_recordset($1::jsonb) u(key text, month date, days int[], hours int[])
      WHERE u.month >= ${oldest} ORDER BY u.key COLLATE "C", u.month
      ON CONFLICT (key, month) DO UPDATE SET days = ${sumOf('days')}, hours = ${sumOf('hours')}`,
    values: [JSON.stringify([...learnt.values()])],
  });
}

const oldest = `(date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') - interval '${months} months')::date`;

const sumOf = (column: 'days' | 'hours') =>
  `ARRAY(SELECT a + b FROM unnest(s.${column}, excluded.${column}) WITH ORDINALITY AS u(a, b, n) ORDER BY n)`;

/** The sketches of these keys, in their order; undefined where nothing was learnt. */
export async function readSketches(
  database: Pick<Transaction, 'query'>,
  keys: readonly string[],
): Promise<(Sketch | undefined)[]> {
  const rows = await database.query<Sketch & { key: string }>({
    name: 'tracking-sketches',
    text: `SELECT key, days, hours FROM transit_sketches WHERE key = ANY ($1::text[]) AND month >= ${oldest}`,
    values: [[...keys]],
  });
  const found = new Map<string, Sketch>();
  for (const { key, days, hours } of rows) {
    const before = found.get(key);
    found.set(key, before ? addSketches(before, { days, hours }) : { days, hours });
  }
  return keys.map((key) => found.get(key));
}

/** Deletes months that do not count any more. */
export async function forgetTransits(database: Pick<JobTools<never>['database'], 'transaction'>): Promise<void> {
  await database.transaction(async (tx) => {
    await tx.query({ text: `DELETE FROM transit_sketches WHERE month < ${oldest}` });
  });
}

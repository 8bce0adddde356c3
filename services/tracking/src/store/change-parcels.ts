/** Writes what parcels' traces come to, many parcels a statement, and the changes of status that have to become events. */

import { booleanArray, int4Array, textArray, timestamptzArray, uuidArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { carrierKey } from '../domain/parcel-id.ts';
import type { ParcelState } from '../domain/parcel-state.ts';
import { stateText } from '../domain/state-text.ts';
import { statusNumber } from '../trace-message.ts';
import type { LockedParcel } from './lock-parcels.ts';

export interface JudgedParcel {
  row: LockedParcel;
  state: ParcelState;
  /** Whether its status is another one than before. */
  changed: boolean;
  /** Whether it is elsewhere than before, or was nowhere. */
  moved: boolean;
  /** How many traces are new, and when the first and the last of them happened. */
  traces: number;
  firstAt: number;
  lastAt: number;
  /** Its transit is learnt in this transaction. */
  learns: boolean;
}

const orNever = (at: number | undefined) => at ?? Number.NEGATIVE_INFINITY;

/** Writes the rows of new parcels, and returns the ids of those that no other transaction has made meanwhile. */
export async function insertParcels(tx: Transaction, parcels: JudgedParcel[]): Promise<Set<string>> {
  if (parcels.length === 0) return new Set();
  const made = await tx.query<{ parcel: string }>({
    name: 'tracking-new-parcels',
    text: `INSERT INTO parcels (parcel, carrier, carrier_key, tracking_number, revision, status, done, eta, first_at, last_at, last_day, state,
        traces, learnt)
      SELECT u.parcel, u.carrier, u.carrier_key, u.tracking_number, 1, u.status::smallint, u.done, nullif(u.eta, '-infinity'), u.first_at,
        u.last_at, (u.last_at AT TIME ZONE 'UTC')::date, u.state, u.traces, u.learns
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int4[], $6::bool[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[],
          $10::text[], $11::int4[], $12::bool[])
        u(parcel, carrier, carrier_key, tracking_number, status, done, eta, first_at, last_at, state, traces, learns)
      ORDER BY u.parcel ON CONFLICT DO NOTHING RETURNING parcel::text`,
    values: [
      uuidArray(parcels.map(({ row }) => row.parcel)),
      textArray(parcels.map(({ row }) => row.carrier)),
      textArray(parcels.map(({ row }) => carrierKey(row.carrier))),
      textArray(parcels.map(({ row }) => row.trackingNumber)),
      ...judgedColumns(parcels),
    ],
  });
  return new Set(made.map(({ parcel }) => parcel));
}

/** What the traces come to: status, done, eta, first_at, last_at, state, traces, learns. */
const judgedColumns = (parcels: JudgedParcel[]) => [
  int4Array(parcels.map(({ state }) => statusNumber(state.status))),
  booleanArray(parcels.map(({ state }) => state.ended)),
  timestamptzArray(parcels.map(({ state }) => orNever(state.eta))),
  timestamptzArray(parcels.map(({ firstAt }) => firstAt)),
  timestamptzArray(parcels.map(({ lastAt }) => lastAt)),
  textArray(parcels.map(({ state }) => stateText(state))),
  int4Array(parcels.map(({ traces }) => traces)),
  booleanArray(parcels.map(({ learns }) => learns)),
];

/** The rows are locked. A row that has changed in spite of that is an Error: nothing may be written then. */
export async function changeParcels(tx: Transaction, parcels: JudgedParcel[]): Promise<void> {
  if (parcels.length === 0) return;
  const changed = await tx.query({
    name: 'tracking-parcels',
    text: `UPDATE parcels p SET
        revision = p.revision + 1, status = u.status::smallint, done = u.done, eta = nullif(u.eta, '-infinity'), state = u.state,
        traces = p.traces + u.traces, learnt = p.learnt OR u.learns,
        first_at = least(p.first_at, u.first_at), last_at = greatest(p.last_at, u.last_at),
        last_day = (greatest(p.last_at, u.last_at) AT TIME ZONE 'UTC')::date,
        updated_at = date_trunc('milliseconds', clock_timestamp())
      FROM unnest($1::uuid[], $2::int4[], $3::int4[], $4::bool[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[], $8::text[], $9::int4[],
          $10::bool[]) u(parcel, revision, status, done, eta, first_at, last_at, state, traces, learns)
      WHERE p.parcel = u.parcel AND p.revision = u.revision RETURNING 1`,
    values: [
      uuidArray(parcels.map(({ row }) => row.parcel)),
      int4Array(parcels.map(({ row }) => row.revision)),
      ...judgedColumns(parcels),
    ],
  });
  if (changed.length !== parcels.length) throw new Error('A locked parcel has another revision than it had.');
}

/** Notes the changes of status of those that have one. A change that was taken stays with its taker: parcel-changes.ts says why. */
export async function noteChanges(tx: Transaction, judged: JudgedParcel[]): Promise<void> {
  const parcels = judged.filter(({ changed }) => changed);
  if (parcels.length === 0) return;
  await tx.query({
    name: 'tracking-changes',
    text: `INSERT INTO parcel_changes (parcel, carrier, tracking_number, status, sub_status, since, revision)
      SELECT u.parcel, u.carrier, u.tracking_number, u.status::smallint, u.sub_status, nullif(u.since, '-infinity'), u.revision + 1
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int4[], $5::text[], $6::timestamptz[], $7::int4[])
        u(parcel, carrier, tracking_number, status, sub_status, since, revision)
      ORDER BY u.parcel ON CONFLICT (parcel) DO UPDATE SET status = excluded.status, sub_status = excluded.sub_status, since = excluded.since,
        revision = excluded.revision`,
    values: [
      uuidArray(parcels.map(({ row }) => row.parcel)),
      textArray(parcels.map(({ row }) => row.carrier)),
      textArray(parcels.map(({ row }) => row.trackingNumber)),
      int4Array(parcels.map(({ state }) => statusNumber(state.status))),
      textArray(parcels.map(({ state }) => state.subStatus ?? '')),
      timestamptzArray(parcels.map(({ state }) => orNever(state.statusAt))),
      int4Array(parcels.map(({ row }) => row.revision)),
    ],
  });
}

/**
 * Writes a batch of traces and what follows from them, in one transaction: README, How a batch is written. The rows of its parcels
 * are locked first, in one order, so that batches that share parcels wait for each other and see what the other has written.
 */
import { Trace as TraceMessage } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { uuidOf } from '@caudal/kernel/ids.ts';
import { byteaArray, timestamptzArray, uuidArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { isExpectation, judgeSeen, saidAgain, seenOf } from '../domain/parcel.ts';
import { idOfKeys } from '../domain/parcel-id.ts';
import type { Seen } from '../domain/parcel-state.ts';
import { readState } from '../domain/state-text.ts';
import { type Trace, traceId } from '../domain/trace.ts';
import { hasTransit } from '../domain/transit.ts';
import { traceOf } from '../trace-message.ts';
import { changeParcels, insertParcels, type JudgedParcel, noteChanges } from './change-parcels.ts';
import { type LockedParcel, lockParcels, slicesOf, withStates } from './lock-parcels.ts';
import { isSamePlace, writePlaces } from './parcel-places.ts';
import { addTransits, type Learnt, learnTransits } from './transit-sketches.ts';

/** A trace of a batch, decoded once. Its bytes are stored as they came. */
export interface Row {
  parcel: string;
  id: string;
  trace: Trace;
  seen: Seen;
  /** As the trace spells them. */
  carrier: string;
  trackingNumber: string;
  body: Uint8Array;
}

export interface Written {
  /** Those that were not known. */
  rows: Row[];
  duplicates: number;
  /** Parcels whose status has changed. */
  changes: number;
}

/** Decodes the traces of a batch. `again`: of those that are in it twice, all but the first. */
export function rowsOf(bodies: readonly Uint8Array[]): { rows: Row[]; again: Row[] } {
  const rows = new Map<string, Row>();
  const again: Row[] = [];
  for (const body of bodies) {
    const { carrier, trackingNumber, ...rest } = TraceMessage.decode(body);
    const trace = traceOf({ carrier, trackingNumber, ...rest });
    const hash = traceId(trace);
    const id = uuidOf(hash);
    const row = {
      ...{ parcel: idOfKeys(trace.carrier, trace.trackingNumber), id, trace, seen: seenOf(trace, hash) },
      ...{ carrier, trackingNumber, body },
    };
    if (rows.has(id)) again.push(row);
    else rows.set(id, row);
  }
  return { rows: [...rows.values()], again };
}

/** Of the states that are in memory at a time. Most batches have less in all. */
const mostStateBytes = 8 * 1_048_576;

export interface WriteOptions {
  /** Bytes of parcels' states that are read at a time; 8 MiB if absent. */
  stateBytes?: number;
}

/** Writes what is new of them. A repeat changes nothing. Errors: those of `Transaction.query`. */
export async function writeTraces(
  tx: Transaction,
  bodies: readonly Uint8Array[],
  { stateBytes = mostStateBytes }: WriteOptions = {},
): Promise<Written> {
  const { rows, again } = rowsOf(bodies);
  // On disk before the queue forgets them: processes commit what can be derived anew without waiting for that.
  // And until the commit no month leaves for the archive.
  await tx.query({
    name: 'tracking-on-disk',
    text: `SELECT set_config('synchronous_commit', 'on', true),
      pg_advisory_xact_lock_shared(hashtextextended('caudal.trace_months.' || current_schema(), 0))`,
  });
  const archivedUntil = await makePartitions(tx, rows);
  const { parcels, made } = await lockOrMake(tx, { rows, again, stateBytes });
  const late = await knownInOtherMonths(tx, rows, parcels);
  const fresh: Row[] = [];
  const learnt: Learnt = new Map();
  let changes = 0;
  for (const [n, slice] of slicesOf(parcels.values(), stateBytes).entries()) {
    const own = await withStates(tx, slice);
    const isFirst = n === 0;
    // New ones, of which there is nothing to read, are written with the first.
    const isOwn = ({ parcel }: Row) => own.has(parcel) || (isFirst && !parcels.has(parcel));
    const written = await writeSlice(tx, {
      rows: rows.filter(isOwn),
      again: again.filter(isOwn),
      parcels: own,
      made: isFirst ? made : [],
      isKnown: ({ id }) => late.has(id),
      archivedUntil,
    });
    fresh.push(...written.fresh);
    addTransits(
      learnt,
      written.judged.filter(({ learns }) => learns),
    );
    changes += written.judged.filter(({ changed }) => changed).length;
  }
  // Last, since all batches share the widest sketches.
  await learnTransits(tx, learnt);
  return { rows: fresh, duplicates: bodies.length - fresh.length, changes };
}

interface Slice {
  rows: Row[];
  /** Those that the batch has twice. */
  again: Row[];
  /** The parcels that were there, with their states. */
  parcels: Map<string, LockedParcel>;
  made: JudgedParcel[];
  isKnown(row: Row): boolean;
  archivedUntil: Date | null;
}

/** Adds the traces of some parcels, and writes what follows for these. */
async function writeSlice(tx: Transaction, { rows, again, parcels, made, isKnown, archivedUntil }: Slice) {
  const archived = archivedUntil ? knownInArchive(rows, parcels, archivedUntil) : new Set();
  const added = await insertTraces(
    tx,
    rows.filter((row) => !isKnown(row) && !archived.has(row.id)),
  );
  const fresh = rows.filter(({ id }) => added.has(id));
  const isThere = ({ parcel }: Row) => parcels.has(parcel);
  const known = [...again, ...rows.filter(({ id }) => !added.has(id))].filter(({ trace }) => isExpectation(trace));
  const changed = judgeParcels(parcels, { fresh: fresh.filter(isThere), known: known.filter(isThere) });
  await changeParcels(tx, changed);
  const judged = [...made, ...changed];
  await noteChanges(tx, judged);
  await writePlaces(
    tx,
    judged.flatMap(({ row, state, moved }) => (moved ? [{ ...row, place: state.place }] : [])),
  );
  return { fresh, judged };
}

/**
 * Locks the parcels that are there, and makes the others with what these traces come to: a parcel without a row has no traces. So a new parcel is
 * written once. One that another transaction makes meanwhile is there then.
 */
async function lockOrMake(
  tx: Transaction,
  { rows, again, stateBytes }: { rows: Row[]; again: Row[]; stateBytes: number },
) {
  const parcels = await lockParcels(tx, [...new Set(rows.map(({ parcel }) => parcel))], stateBytes);
  const missing = rows.filter(({ parcel }) => !parcels.has(parcel));
  const unknown = new Map(missing.toReversed().map((row) => [row.parcel, newParcel(row)]));
  const known = again.filter(({ parcel, trace }) => unknown.has(parcel) && isExpectation(trace));
  const judged = judgeParcels(unknown, { fresh: missing, known });
  const ids = await insertParcels(tx, judged);
  const others = [...unknown.keys()].filter((id) => !ids.has(id));
  if (others.length > 0) for (const [id, row] of await lockParcels(tx, others, stateBytes)) parcels.set(id, row);
  return { parcels, made: judged.filter(({ row }) => ids.has(row.parcel)) };
}

const newParcel = ({ parcel, carrier, trackingNumber }: Row): LockedParcel => ({
  ...{ parcel, carrier, trackingNumber, revision: 0, firstAt: null, lastAt: null, state: null },
  ...{ stateBytes: 0, destination: null, learnt: false },
});

const monthOf = (at: Date) => at.toISOString().slice(0, 7);

/**
 * Of older months than the job makes ahead, which are rare: a carrier's archive. Returns when the newest month ended that has left for the
 * archive; null if none has.
 */
async function makePartitions(tx: Transaction, rows: Row[]): Promise<Date | null> {
  const months = [...new Set(rows.map(({ trace }) => monthOf(trace.happenedAt)))].map((month) => `${month}-01`);
  const [row] = await tx.query<{ until: Date | null }>({
    name: 'tracking-partitions',
    text: `SELECT (
        SELECT make_trace_partitions(array_agg(m)) FROM unnest($1::date[]) m
        WHERE to_regclass(format('%I.%I', current_schema(), 'traces_' || month_suffix(m))) IS NULL HAVING count(*) > 0
      ) AS made, (SELECT (max(a.month) + interval '1 month') AT TIME ZONE 'UTC' FROM archived_trace_months a
        WHERE a.restored_at IS NULL) AS until`,
    values: [months],
  });
  return row!.until;
}

/**
 * A carrier may name another time for an event of the same id: the unique index of one month does not see that of another. So traces
 * with such an id are looked up where their parcel has traces in other months than theirs, under the parcel's lock.
 */
async function knownInOtherMonths(
  tx: Transaction,
  rows: Row[],
  parcels: Map<string, LockedParcel>,
): Promise<Set<string>> {
  const asked = rows.filter(({ parcel, trace }) => {
    const { firstAt, lastAt } = parcels.get(parcel) ?? {};
    if (!trace.eventId || !firstAt || !lastAt) return false;
    const month = monthOf(trace.happenedAt);
    return monthOf(firstAt) !== month || monthOf(lastAt) !== month;
  });
  if (asked.length === 0) return new Set();
  const ofAsked = asked.map(({ parcel }) => parcels.get(parcel)!);
  const from = Math.min(...ofAsked.map(({ firstAt }) => firstAt!.getTime()));
  const to = Math.max(...ofAsked.map(({ lastAt }) => lastAt!.getTime()));
  const known = await tx.query<{ id: string }>({
    text: `SELECT u.id::text FROM unnest($1::uuid[], $2::uuid[]) u(parcel, id)
      WHERE EXISTS (SELECT FROM traces t WHERE t.parcel = u.parcel AND t.id = u.id AND t.happened_at BETWEEN $3 AND $4)`,
    values: [
      uuidArray(asked.map(({ parcel }) => parcel)),
      uuidArray(asked.map(({ id }) => id)),
      new Date(from),
      new Date(to),
    ],
  });
  return new Set(known.map(({ id }) => id));
}

/** Traces that are in the archive are known by the rows of their parcels, which have the latest 50: docs/tracking-archive.md. */
function knownInArchive(rows: Row[], parcels: Map<string, LockedParcel>, until: Date): Set<string> {
  const known = new Set<string>();
  for (const [parcel, own] of Map.groupBy(rows, (row) => row.parcel)) {
    const { firstAt, state } = parcels.get(parcel) ?? {};
    if (!firstAt || !state || firstAt >= until) continue;
    const recent = new Set(readState(state).recent.map(({ id }) => id));
    for (const { id } of own) if (recent.has(id.replaceAll('-', ''))) known.add(id);
  }
  return known;
}

/** Returns the ids of those that were not there. */
async function insertTraces(tx: Transaction, rows: Row[]): Promise<Set<string>> {
  const added = await tx.query<{ id: string }>({
    name: 'tracking-insert',
    text: `INSERT INTO traces (parcel, id, happened_at, body)
      SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bytea[]) ON CONFLICT DO NOTHING RETURNING id::text`,
    values: [
      uuidArray(rows.map(({ parcel }) => parcel)),
      uuidArray(rows.map(({ id }) => id)),
      timestamptzArray(rows.map(({ trace }) => trace.happenedAt.getTime())),
      byteaArray(rows.map(({ body }) => body)),
    ],
  });
  return new Set(added.map(({ id }) => id));
}

/** `known`: expectations that were said again, which a carrier does that changes its mind back. They are no new traces. */
function judgeParcels(
  parcels: Map<string, LockedParcel>,
  { fresh, known }: { fresh: Row[]; known: Row[] },
): JudgedParcel[] {
  const ofParcel = ({ parcel }: Row) => parcel;
  const [freshOf, knownOf] = [Map.groupBy(fresh, ofParcel), Map.groupBy(known, ofParcel)];
  return [...new Set([...freshOf.keys(), ...knownOf.keys()])].flatMap((parcel) => {
    const row = parcels.get(parcel)!;
    const before = row.state ? readState(row.state) : undefined;
    const own = freshOf.get(parcel) ?? [];
    const seenOfRows = (rows: Row[]) => rows.map(({ seen }) => seen);
    const judged = own.length > 0 ? judgeSeen(before, seenOfRows(own)) : before;
    const state = judged && saidAgain(judged, seenOfRows(knownOf.get(parcel) ?? []));
    if (!state || state === before) return [];
    const times = own.length > 0 ? own.map(({ trace }) => trace.happenedAt) : [row.firstAt!, row.lastAt!];
    return {
      row,
      state,
      changed: state.status !== before?.status,
      moved: !before || !isSamePlace(before.place, state.place),
      traces: own.length,
      firstAt: Math.min(...times.map(Number)),
      lastAt: Math.max(...times.map(Number)),
      learns: !row.learnt && hasTransit(state),
    };
  });
}

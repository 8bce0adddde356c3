/** The chain of the audit log: added to by the database's function. verify.ts computes it anew, outside of the database. */
import { createHash } from 'node:crypto';
import { textArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import type { StoredRecord } from './read.ts';

export interface ChainEnd {
  position: number;
  hash: Buffer;
}

/** Adds records, and returns where the chain ends then. `durable`: resolves when they are on disk. */
export async function addRecords(
  db: Transaction,
  bodies: string[],
  { durable }: { durable: boolean },
): Promise<ChainEnd> {
  if (bodies.length === 0) return readEnd(db);
  const rows = await db.query<ChainEnd>({
    name: 'audit-add',
    text: 'SELECT position, hash FROM caudal_audit.add($1::text[], $2)',
    values: [textArray(bodies), durable],
  });
  return rows[0]!;
}

/** Where the chain ends: 0 and an empty hash before the first record. */
export async function readEnd(db: Transaction): Promise<ChainEnd> {
  const rows = await db.query<ChainEnd>({
    text: `SELECT e.position, e.hash FROM (
        (SELECT position, hash FROM caudal_audit.records ORDER BY recorded_at DESC, position DESC LIMIT 1)
        UNION ALL (SELECT position, hash FROM caudal_audit.dropped ORDER BY position DESC LIMIT 1)
      ) e ORDER BY e.position DESC LIMIT 1`,
  });
  return rows[0] ?? { position: 0, hash: Buffer.alloc(0) };
}

/** The hash of a record behind the one with the hash `before`. */
export function hashOf(
  before: Uint8Array,
  record: Omit<StoredRecord, 'kind' | 'subject' | 'method' | 'resource' | 'hash'>,
) {
  const { position, recordedAt, writer, place, body } = record;
  const content = [position, recordedAt.getTime(), writer, place, body].join('\n');
  return createHash('sha256').update(before).update(content).digest();
}

/** A checkpoint as it is printed and logged: `4711:9f2c...`. Undefined if the text is none. */
export function parseCheckpoint(text: string): ChainEnd | undefined {
  const [, position, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text.trim().toLowerCase()) ?? [];
  return position && hash ? { position: Number(position), hash: Buffer.from(hash, 'hex') } : undefined;
}

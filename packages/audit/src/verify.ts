/** Verifies the chain of the audit log: docs/audit.md, The chain. */
import type { Transaction } from '@caudal/postgres/database.ts';
import { parseBody } from './body.ts';
import { type ChainEnd, hashOf, readEnd } from './chain.ts';
import { type StoredRecord, selectDropped, selectFrom } from './read.ts';

export interface Finding {
  position: number;
  problem: string;
}

export interface Verified {
  /** How many records were found to be right. */
  records: number;
  /** The chain was verified from the record after this one: what was before has been dropped. */
  after: number;
  end: ChainEnd;
  /** The first record that was changed, is missing, or is not where a checkpoint says. Nothing behind it was verified. */
  broken?: Finding;
  /** Checkpoints of which nothing can be said, and why. */
  unknown: Finding[];
  /** The records from which on another server, or another timeline, has written: after a fail-over or a restore. */
  movedAt: number[];
}

export interface VerifyOptions {
  database: Transaction;
  /** Through which the chain must lead. */
  checkpoints?: ChainEnd[];
  signal: AbortSignal;
  onProgress?(progress: { done: number; total: number }): void;
}

const pageSize = 2_000;
/** Places that are told. */
const mostMoves = 100;

/** Computes the whole chain anew. Records that are added meanwhile are verified too, as far as they come in time. */
export async function verifyChain(options: VerifyOptions): Promise<Verified> {
  const verified = await verifyOnce(options);
  if (!verified.broken) return verified;
  // A month may have been dropped while it was read.
  const [start] = await selectDropped(options.database);
  return (start?.position ?? 0) > verified.after ? verifyChain(options) : verified;
}

async function verifyOnce({ database, checkpoints = [], signal, onProgress }: VerifyOptions): Promise<Verified> {
  const [start] = await selectDropped(database);
  const after = start?.position ?? 0;
  const open = new Map(checkpoints.map((checkpoint) => [checkpoint.position, checkpoint]));
  const found: Verified = {
    ...{ records: 0, after, end: { position: after, hash: start?.hash ?? Buffer.alloc(0) } },
    ...{ unknown: [], movedAt: [] },
  };
  const broken = (position: number, problem: string): Verified => ({ ...found, broken: { position, problem } });
  /** Whether the chain leads through the checkpoint at this place, if there is one. */
  const meets = (at: ChainEnd) => {
    const known = open.get(at.position);
    open.delete(at.position);
    return !known || known.hash.equals(at.hash);
  };
  if (!meets(found.end)) return broken(after, 'is another one than the checkpoint says');
  for (const position of [...open.keys()].filter((each) => each < after)) {
    open.delete(position);
    found.unknown.push({ position, problem: `is older than what is kept: records up to ${after} were dropped` });
  }
  // What was dropped is said in the chain, too: behind it, as the record of a month that was.
  let dropsLeft = start ? `${after}:${start.hash.toString('hex')}` : undefined;
  let last: StoredRecord | undefined;
  const total = (await readEnd(database)).position - after;
  for (;;) {
    signal.throwIfAborted();
    const page = await selectFrom(database, { after: found.end.position, limit: pageSize });
    for (const record of page) {
      const next = found.end.position + 1;
      if (record.position !== next) return broken(next, 'is missing');
      const problem = problemOf(record, found.end.hash, last);
      if (problem) return broken(next, problem);
      if (last && last.place !== record.place && found.movedAt.length < mostMoves) found.movedAt.push(next);
      if (record.kind === 'RETENTION' && parseBody(record.body).outcome === dropsLeft) dropsLeft = undefined;
      found.end = { position: next, hash: record.hash };
      found.records++;
      last = record;
      if (!meets(found.end)) {
        // What a fail-over has lost can't be told from what was changed: the operator knows whether there was one.
        if (found.movedAt.length === 0) return broken(next, 'is another one than the checkpoint says');
        found.unknown.push({
          position: next,
          problem: `is another one than the checkpoint says: lost in the fail-over or restore after which record ${found.movedAt[0]} was written, or changed`,
        });
      }
    }
    onProgress?.({ done: found.records, total });
    if (page.length < pageSize) break;
  }
  const [cut] = [...open.keys()].sort((a, b) => a - b);
  if (cut !== undefined)
    return broken(found.end.position + 1, `is missing: the log was cut off before the checkpoint at ${cut}`);
  if (dropsLeft !== undefined)
    return broken(after, 'and those before it are missing, and no record says that they were dropped');
  return found;
}

function problemOf(record: StoredRecord, before: Buffer, last: StoredRecord | undefined): string | undefined {
  if (!hashOf(before, record).equals(record.hash)) return 'was changed: its hash does not follow from it';
  if (last && record.recordedAt < last.recordedAt) return 'is older than the one before it';
  try {
    const { kind, subject, method, resource } = parseBody(record.body);
    const same =
      kind === record.kind && subject === record.subject && method === record.method && resource === record.resource;
    return same ? undefined : 'was changed: a column by which it is found differs from it';
  } catch (error) {
    return `can't be read: ${(error as Error).message}`;
  }
}

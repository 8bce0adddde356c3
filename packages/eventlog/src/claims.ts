/**
 * The claims of an append as its statement takes them. What decides the cost of a claim is the place of its key in the index,
 * so keys begin with the time in the id: see docs/event-log-write-path.md, Claims.
 */
import { hash } from 'node:crypto';
import { rememberedDays } from '@caudal/contract/remembered.ts';
import { timeOfId } from '@caudal/kernel/ids.ts';
import type { Append } from './types.ts';

/** A claim as a row of the statement's arrays. */
export interface ClaimRow {
  key: string;
  /** The generation that it must have; -1: absent, -2: any. */
  expected: number;
  kind: number;
  days: number;
  /** When the id was made, and until when at least its claims are kept; -Infinity if the id has no time. */
  madeAt: number;
  keptUntil: number;
  hash: Uint8Array | null;
  /** Of a command: its key without the time. */
  former: string | null;
  /** Null: it is only looked up. */
  outcome: Uint8Array | null;
}

const maxDays = 60;
const maxKind = 32_767;
const dayMs = 86_400_000;
/** Six bytes of an id hold later times than PostgreSQL reads. They are refused like all that are far ahead. */
const latest = Date.UTC(9_000);

/** A UUID of these 32 hex digits. */
function uuid(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The UUID with its first 6 bytes replaced by the time. */
function timed(key: string, madeAt: number): string {
  const time = madeAt.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}${key.slice(13)}`;
}

function claimKey(scope: string, id: string): string {
  return uuid(hash('sha256', `${Buffer.byteLength(scope)}:${scope};${id}`, 'hex').slice(0, 32));
}

function row(key: string, madeAt: number | undefined, days: number) {
  if (madeAt === undefined) return { key, madeAt: Number.NEGATIVE_INFINITY, keptUntil: Number.NEGATIVE_INFINITY };
  const time = Math.min(madeAt, latest);
  return { key: timed(key, madeAt), madeAt: time, keptUntil: time + days * dayMs };
}

function expectedNumber(expected: 'absent' | 'any' | number): number {
  if (expected === 'absent') return -1;
  return expected === 'any' ? -2 : expected;
}

/** The claims of an append: its command first, then those of `claims`, in order. Throws if one is out of its bounds. */
export function claimRows({ command, claims = [] }: Append): ClaimRow[] {
  const rows = claims.map(({ scope, id, days, expected = 'absent', record }): ClaimRow => {
    if (!Number.isInteger(days) || days < 1 || days > maxDays)
      throw new RangeError(`A claim's days are ${days}: they must be a whole number from 1 to ${maxDays}`);
    const kept = record?.days ?? days;
    if (!Number.isInteger(kept) || kept < days || kept > maxDays)
      throw new RangeError(`A claim is recorded for ${kept} days: they must be from its ${days} days to ${maxDays}`);
    if (record && !(Number.isInteger(record.kind) && record.kind >= 1 && record.kind <= maxKind))
      throw new RangeError(`A claim's kind is ${record.kind}: it must be a whole number from 1 to ${maxKind}`);
    return {
      ...row(claimKey(scope, id), timeOfId(id), days),
      expected: expectedNumber(expected),
      kind: record?.kind ?? 0,
      days: kept,
      hash: null,
      former: null,
      outcome: record?.outcome ?? null,
    };
  });
  if (!command) return rows;
  const own: ClaimRow = {
    ...row(command.key, command.madeAt, rememberedDays),
    expected: -1,
    kind: 0,
    days: rememberedDays,
    hash: command.hash,
    former: command.key,
    outcome: command.reply ?? null,
  };
  return [own, ...rows];
}

/**
 * Bounds the calls that wait for their own writes to be seen. Such a wait takes a place and does nothing, and a token of a write
 * that never was would hold it for the whole wait.
 */
import { type Caller, isService } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { noteRefusal } from './places.ts';
import { openPool } from './pool.ts';

export interface Waits {
  /** Begins a wait of this caller. Throws RESOURCE_EXHAUSTED TOO_MANY_WAITS. */
  begin(caller: Caller): Wait;
}

interface Wait {
  /** The most that it may take. */
  timeoutMs: number;
  end(): void;
}

const longMs = 2_000;
/** While more than half of all waits are taken. */
const shortMs = 500;
/** One caller alone gets half of the waits; Caudal's services get nearly all, as they wait for many. */
const alpha = 1;
const serviceWeight = 16;

/** For a process with this many places: a quarter of them may wait. */
export function openWaits(maxConcurrent: number): Waits {
  const all = Math.max(1, Math.floor(maxConcurrent / 4));
  const pool = openPool(all, alpha);
  return {
    begin(caller) {
      const end = pool.take(caller.subject, isService(caller) ? serviceWeight : 1);
      if (!end) throw tooMany();
      return { timeoutMs: pool.used() > all / 2 ? shortMs : longMs, end };
    },
  };
}

function tooMany(): CaudalError {
  noteRefusal('TOO_MANY_WAITS');
  return new CaudalError(
    'RESOURCE_EXHAUSTED',
    'TOO_MANY_WAITS',
    'Too many calls of this caller, or of all, wait for a consistency token: try again with the same token.',
    { retryAfterMs: Math.round(500 + 500 * Math.random()) },
  );
}

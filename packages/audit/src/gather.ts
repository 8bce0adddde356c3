/**
 * Bounds how many records calls write that any caller can make as often as it likes. In each window the first ones of a caller are records
 * of their own; what comes after is counted, and becomes one record a caller. So the number of records follows from these bounds, not from
 * what is sent.
 */
import type { Pending } from './body.ts';
import { type AuditEntry, emptyEntry, outcomes } from './types.ts';

export interface Bounds {
  /** Records of their own in a window: of a caller, and of all callers. */
  singlesOfCaller(entry: AuditEntry): number;
  singlesOfAll: number;
  /** Callers whose calls are counted apart. Of others there is one count for each outcome. */
  mostCallers: number;
}

const mostOutcomes = 20;

interface Caller {
  singles: number;
  counted: Pending | undefined;
}

export interface Gathered {
  /** The record to write now; undefined if the call is only counted. */
  take(entry: AuditEntry, now: Date): Pending | undefined;
  /** Ends the window: the records of what was counted. */
  end(): Pending[];
}

export function gather({ singlesOfCaller, singlesOfAll, mostCallers }: Bounds): Gathered {
  const callers = new Map<string, Caller>();
  const others = new Map<string, Pending>();
  let singles = 0;

  /** The caller's, while there is room for it. */
  function callerOf(entry: AuditEntry): Caller | undefined {
    const key = entry.subject || entry.address;
    const known = callers.get(key);
    if (known || callers.size >= mostCallers) return known;
    const made: Caller = { singles: 0, counted: undefined };
    callers.set(key, made);
    return made;
  }

  function countForOthers(entry: AuditEntry, now: Date): void {
    const key = others.has(entry.outcome) || others.size < mostOutcomes ? entry.outcome : outcomes.several;
    const counted = others.get(key);
    if (counted) counted.count++;
    else others.set(key, { ...emptyEntry, kind: entry.kind, outcome: key, time: now, count: 1 });
  }

  return {
    take(entry, now) {
      const caller = callerOf(entry);
      if (!caller) {
        countForOthers(entry, now);
        return undefined;
      }
      if (caller.singles < singlesOfCaller(entry) && singles < singlesOfAll) {
        caller.singles++;
        singles++;
        return { ...entry, time: now, count: 1 };
      }
      const { counted } = caller;
      if (!counted) {
        caller.counted = { ...entry, requestId: '', reason: '', wrote: '', time: now, count: 1 };
        return undefined;
      }
      counted.count++;
      // What differs between them is left open.
      if (counted.method !== entry.method) counted.method = '';
      if (counted.resource !== entry.resource) counted.resource = '';
      if (counted.address !== entry.address) counted.address = '';
      if (counted.credential !== entry.credential) counted.credential = '';
      if (counted.outcome !== entry.outcome) counted.outcome = outcomes.several;
      return undefined;
    },
    end() {
      const counted = [...[...callers.values()].flatMap((caller) => caller.counted ?? []), ...others.values()];
      callers.clear();
      others.clear();
      singles = 0;
      return counted;
    },
  };
}

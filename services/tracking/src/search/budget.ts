/** What a call may cost: so many parcels are looked at, and so long it takes. */
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { Statement, Transaction } from '@caudal/postgres/database.ts';
import { type Candidate, readCandidates } from './candidates.ts';

/** Of all statements of a call: less than the driver's time-out, which would look like an outage. */
const maxMs = 8_000;
/** Of one, which reads rows by an index: it takes milliseconds. */
export const statementMs = 2_000;
/** A statement that finds nothing costs as much as looking at so many parcels. */
const statementCost = 20;

export interface Budget {
  /** How many parcels may still be looked at; 0 if there is no more. */
  left(): number;
  /** Throws QUERY_TOO_COSTLY if the time is over. */
  read(statement: Statement): Promise<Candidate[]>;
}

export function openBudget(tx: Transaction, parcels: number): Budget {
  const until = performance.now() + maxMs;
  let left = parcels;
  return {
    left: () => Math.max(0, left),
    async read(statement) {
      if (performance.now() >= until) throw tooCostly('takes too long: narrow its conditions');
      const candidates = await readCandidates(tx, statement);
      left -= Math.max(statementCost, candidates.length);
      return candidates;
    },
  };
}

/** A search that can't be answered as it is. A repeat would fail, too. */
export function tooCostly(description: string, cause?: unknown): CaudalError {
  return new CaudalError('RESOURCE_EXHAUSTED', 'QUERY_TOO_COSTLY', `The search ${description}.`, { cause });
}

/** How a relay takes and leaves its lease by its turn (relay-shares.ts). */
import { sleep } from '@caudal/kernel/time.ts';
import { isHeld } from '@caudal/postgres/checkpoint.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { LeaseOptions } from '../lease.ts';
import type { RelayTurn } from '../members/relay-shares.ts';

/** How long a lease is free before a process takes it whose turn it is not. */
const freeMs = 3_000;
/** Between two tries of the process whose turn it is: nobody relays until it has the lease. */
const tryMs = 200;
/** How long it must be another one's turn: while processes come, that changes quickly. */
const steadyMs = 2_000;
const lookMs = 500;

/** When to try to take the lease. */
export function takeTurns(turn: RelayTurn | undefined, database: Database): Pick<LeaseOptions, 'mayTake' | 'waitMs'> {
  if (!turn) return {};
  let freeSince: number | undefined;
  return {
    async mayTake() {
      // Also if nobody says that it can relay: then it is everybody's.
      if (turn.isMine() !== false) return true;
      const now = performance.now();
      if (await isHeld(database, 'relay')) freeSince = undefined;
      else freeSince ??= now;
      return freeSince !== undefined && now - freeSince >= freeMs;
    },
    waitMs: () => (turn.isMine() === false ? undefined : tryMs),
  };
}

/** Aborts a lead once it is another process's turn, until it has ended for another reason. Never throws. */
export async function giveWay(turn: RelayTurn | undefined, ended: AbortController): Promise<void> {
  if (!turn) return;
  let since: number | undefined;
  while (!ended.signal.aborted) {
    await sleep(lookMs, ended.signal);
    if (turn.isMine() !== false) since = undefined;
    else since ??= performance.now();
    if (since !== undefined && performance.now() - since >= steadyMs) ended.abort();
  }
}

/**
 * Who gets the next connection of a pool that several schemas share. Each schema has one share. See README, One pool a
 * server.
 */

export interface Share<Waiter> {
  /** Connections that it has at this moment. */
  used: number;
  /** Its callers in the queue, the oldest first. */
  readonly waiting: Waiter[];
}

/**
 * Whether the share may have one more of `size` connections. One that has none always may, while any is free. A share
 * with connections leaves one for each share that has none, but no more than half of the pool: so a share that takes
 * all it can get never keeps another one waiting for its statements.
 */
export function mayTake(share: Share<unknown>, shares: Iterable<Share<unknown>>, size: number): boolean {
  let used = 0;
  let without = 0;
  for (const each of shares) {
    used += each.used;
    if (each.used === 0) without++;
  }
  const left = share.used === 0 ? 0 : Math.min(without, Math.floor(size / 2));
  return size - used > left;
}

/**
 * The share whose oldest waiter is next, of those that may take a connection: the one with the fewest. Of several with
 * as few, one that `prefers` the connection that has become free; else the one whose waiter has waited longest.
 * Undefined if no waiter may be served.
 */
export function next<S extends Share<{ since: number }>>(
  shares: Set<S>,
  size: number,
  prefers: (share: S) => boolean,
): S | undefined {
  let best: S | undefined;
  for (const share of shares) {
    if (share.waiting.length === 0 || !mayTake(share, shares, size)) continue;
    if (!best || compare(share, best, prefers) < 0) best = share;
  }
  return best;
}

function compare<S extends Share<{ since: number }>>(a: S, b: S, prefers: (share: S) => boolean): number {
  return a.used - b.used || Number(prefers(b)) - Number(prefers(a)) || a.waiting[0]!.since - b.waiting[0]!.since;
}

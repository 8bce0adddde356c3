/**
 * Owners of contended streams. Where races for a stream are lost, one process claims it for a while, and the others have its
 * commands done there: those that can be forwarded leave the queue (queue.ts, `handOver`). It is advice, since the log alone
 * decides what lands; docs/owners.md has what follows from that. A stream is here in one of these ways:
 *
 *   not at all   As long as no races are lost. It costs the look-up in two empty maps.
 *   owned        This process decides. It ends once no calls are forwarded here, or commands do not overlap any more, or
 *                another process has taken over.
 *   a route      Another process decides. Each answer extends the route; it ends with the ownership.
 *   taking over  The owner was lost. Commands wait for the one statement that says who is the next.
 */
import type { ForwardToOwner } from '@caudal/kernel/forward.ts';
import { within } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { Entry } from './entry.ts';
import { ownedStreams, ownerClaims } from './metrics.ts';
import { ownerRows, type Self } from './owner-rows.ts';
import { openRoutes } from './routes.ts';

/** How long a stream is owned without renewal. An owner that is known to be gone is replaced at once. */
const leaseMs = 15_000;
const renewEveryMs = leaseMs / 3;
/** An owner stops owning if for this long no call was forwarded to it, or no two commands waited at the same time. */
const idleMs = 5_000;
const sweepEveryMs = 60_000;
/** A stream is claimed by a process at most once in this time, take-overs apart; */
const claimEveryMs = 250;
/** and after its owner turned out to be of another version. */
const otherVersionMs = 5_000;
/** How long commands wait for a take-over. */
const takeOverMs = 250;
/** Streams that a process owns at most: hot ones are to be shared out. */
const maxOwned = 16;

export interface Owners {
  /**
   * Where commands that wait for the stream are decided: here if undefined; with what forwardable ones are rejected if another
   * process owns it; `sought` if nothing can be decided until it is known who owns it: then `again` is called.
   */
  ownerOf(entry: Entry, again: () => void): ForwardToOwner | 'sought' | undefined;
  /** Races for the stream are lost. True once another process is known to own it. */
  contended(entry: Entry): Promise<boolean>;
  /** Whether this process owns the stream. */
  owns(stream: string): boolean;
  /** A forwarded call has been done: for how long this process owns the stream from now on; 0 if it does not. */
  ownedMs(stream: string): number;
  /** Stops owning; to be called when the process begins to end. */
  retire(): Promise<void>;
}

export interface OwnersOptions extends Self {
  /** The schema of the streams' log. */
  database: Database;
  /** Milliseconds of a clock that never goes back; performance.now if absent. */
  elapsed?(): number;
}

export function openOwners(options: OwnersOptions): Owners {
  const { database, instance, contract, elapsed = () => performance.now() } = options;
  const rows = ownerRows(database, options, leaseMs);
  /** When a call was last forwarded, and when two commands last waited. */
  const owned = new Map<string, { untilMs: number; usedMs: number; crowdedMs: number }>();
  const routes = openRoutes({ elapsed, onLost: takeOver });
  const claiming = new Map<string, Promise<void>>();
  /** Streams whose owner was lost, with what goes on once the next one is known. */
  const takingOver = new Map<string, { done: Promise<unknown>; waiting: Set<() => void> }>();
  let renewing: NodeJS.Timeout | undefined;
  let sweptMs = Number.NEGATIVE_INFINITY;
  let retired = false;

  function claim(stream: string): Promise<void> {
    const known = claiming.get(stream);
    if (known) return known;
    const claimed = ask(stream)
      // PostgreSQL is away: then there is no owner, as before.
      .catch(() => {})
      .finally(() => claiming.delete(stream));
    claiming.set(stream, claimed);
    return claimed;
  }

  async function ask(stream: string): Promise<void> {
    const askedMs = elapsed();
    // Claims in flight count: many streams may become contended at once.
    const mayOwn = !retired && owned.size + claiming.size < maxOwned;
    const gone = routes.gone();
    let owner = await (mayOwn ? rows.claim(stream, gone) : rows.find(stream));
    // Of a row that is changed at the same moment, the statement sees nothing, or what it was: the next statement sees it.
    if (mayOwn && (!owner || owner.leftMs <= 0 || gone.includes(owner.instance)))
      owner = await rows.claim(stream, gone);
    if (!owner || owner.leftMs <= 0) return;
    const mine = owner.instance === instance;
    ownerClaims.add(1, { result: mine ? 'owned' : 'other' });
    if (mine) own(stream, askedMs + owner.leftMs);
    else if (owner.contract === contract) routes.add(stream, owner, askedMs + owner.leftMs);
  }

  function own(stream: string, untilMs: number): void {
    if (retired) {
      void rows.release([stream]).catch(() => {});
      return;
    }
    const now = elapsed();
    if (!owned.has(stream)) ownedStreams.add(1);
    owned.set(stream, { untilMs, usedMs: now, crowdedMs: now });
    renewing ??= setInterval(() => void renew(), renewEveryMs).unref();
  }

  function disown(stream: string): void {
    if (owned.delete(stream)) ownedStreams.add(-1);
    if (owned.size > 0) return;
    clearInterval(renewing);
    renewing = undefined;
  }

  async function renew(): Promise<void> {
    const now = elapsed();
    const used: string[] = [];
    const unused: string[] = [];
    for (const [stream, { usedMs, crowdedMs, untilMs }] of owned) {
      if (now >= untilMs) disown(stream);
      else (now - Math.min(usedMs, crowdedMs) < idleMs ? used : unused).push(stream);
    }
    for (const stream of unused) disown(stream);
    try {
      if (unused.length > 0) await rows.release(unused);
      if (now - sweptMs >= sweepEveryMs) {
        sweptMs = now;
        await rows.sweep();
      }
      if (used.length === 0) return;
      const renewed = await rows.renew(used);
      for (const stream of used) {
        const mine = owned.get(stream);
        if (mine && renewed.has(stream)) mine.untilMs = now + leaseMs;
        else disown(stream);
      }
    } catch {
      // PostgreSQL is away: what is not renewed ends by itself.
    }
  }

  /** Asks who is the next owner; the result is known, or given up, when the promise resolves. */
  function takeOver(stream: string): Promise<unknown> {
    const known = takingOver.get(stream);
    if (known) return known.done;
    if (owned.has(stream)) return Promise.resolve();
    const waiting = new Set<() => void>();
    // A claim that is under way does not know yet that the owner is gone.
    const claimed = (claiming.get(stream) ?? Promise.resolve()).then(() => claim(stream));
    const done = within(takeOverMs, claimed).then(() => {
      takingOver.delete(stream);
      for (const again of waiting) again();
    });
    takingOver.set(stream, { done, waiting });
    return done;
  }

  return {
    ownerOf(entry, again) {
      const { stream } = entry;
      const takeover = takingOver.get(stream);
      if (takeover) {
        // One function an entry, however often its queue asks.
        entry.again ??= again;
        takeover.waiting.add(entry.again);
        return 'sought';
      }
      const route = routes.to(stream);
      if (route) {
        entry.routed = true;
        return route;
      }
      if (entry.routed) {
        entry.routed = false;
        entry.stale = true;
      }
      const mine = owned.get(stream);
      if (mine && entry.waiting.size > 1) mine.crowdedMs = elapsed();
      return undefined;
    },
    async contended(entry) {
      const { stream } = entry;
      const now = elapsed();
      const mine = owned.get(stream);
      if ((mine && now < mine.untilMs) || now < entry.claimAfterMs) return false;
      entry.claimAfterMs = now + claimEveryMs;
      await claim(stream);
      const found = routes.to(stream) !== undefined;
      if (!found && !owned.has(stream)) entry.claimAfterMs = now + otherVersionMs;
      return found;
    },
    owns: (stream) => elapsed() < (owned.get(stream)?.untilMs ?? Number.NEGATIVE_INFINITY),
    ownedMs(stream) {
      const mine = owned.get(stream);
      if (!mine) return 0;
      mine.usedMs = elapsed();
      return Math.max(0, mine.untilMs - mine.usedMs);
    },
    async retire() {
      retired = true;
      const mine = [...owned.keys()];
      for (const stream of mine) disown(stream);
      if (mine.length > 0) await rows.release(mine).catch(() => {});
    },
  };
}

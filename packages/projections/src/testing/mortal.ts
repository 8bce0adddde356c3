/**
 * Processes that are killed, inside one test process: from the moment of its death on none of its calls does anything,
 * or answers. What was in flight may have had its effect.
 */
import type { LogReader } from '@caudal/eventlog/types.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { RebuildOptions } from '../generations/rebuild.ts';
import type { Collection, ViewStore } from '../stores/store.ts';

export interface Mortal {
  /** Resolves when it is dead. */
  readonly died: Promise<void>;
  kill(): void;
  /** How many calls it has made. */
  calls(): number;
  /** The options of a rebuild by this process. Its clock is ahead by `aheadMs`: leases of earlier ones have expired. */
  process<V>(options: RebuildOptions<V>, aheadMs?: number): RebuildOptions<V>;
}

type Call = (...args: never[]) => Promise<unknown>;

/** Dies at its `dieAt`-th call: before the call takes place, or (`after`) when it has. */
export function mortal({ dieAt = Infinity, after = false }: { dieAt?: number; after?: boolean } = {}): Mortal {
  const { promise: died, resolve: die } = Promise.withResolvers<void>();
  const never = new Promise<never>(() => {});
  let dead = false;
  let calls = 0;

  function kill(): void {
    dead = true;
    die();
  }

  function mortalCall<C extends Call>(call: C): C {
    return (async (...args) => {
      if (dead) return never;
      calls += 1;
      const isLast = calls === dieAt;
      if (isLast && !after) kill();
      if (dead) return never;
      const answer = call(...args);
      await answer.catch(() => {});
      if (isLast) kill();
      return dead ? never : answer;
    }) as C;
  }

  const mortalCollection = (collection: Collection): Collection =>
    Object.fromEntries(
      Object.entries(collection).map(([name, call]) => [name, mortalCall(call as Call)]),
    ) as unknown as Collection;

  return {
    died,
    kill,
    calls: () => calls,
    process(options, aheadMs = 0) {
      const { store, bind, filled, release } = options;
      const mortalStore: ViewStore = {
        ...store,
        collection: (name, layout) => mortalCollection(store.collection(name, layout)),
      };
      const ahead: Clock = () => new Date(Date.now() + aheadMs);
      const clock = aheadMs > 0 ? ahead : options.clock;
      return {
        ...options,
        store: mortalStore,
        bind: mortalCall(bind),
        filled: mortalCall(filled),
        release: mortalCall(release),
        clock,
      };
    },
  };
}

/** The same logs, read in short pages: as a log that is much longer is read in usual ones. */
export function inShortPages(logs: ReadonlyMap<string, LogReader>, size: number): Map<string, LogReader> {
  return new Map(
    [...logs].map(([domain, log]) => [
      domain,
      {
        ...log,
        readLog: (after, options) => log.readLog(after, { ...options, limit: Math.min(size, options?.limit ?? size) }),
      },
    ]),
  );
}

/**
 * The projection, and how many events its handlers were given, by all of its processes. `onHandled` is called for each.
 */
export function countingEvents<P extends { follows: { entity: { decode(recorded: never): unknown } }[] }>(
  projection: P,
  onHandled: () => void = () => {},
): { projection: P; handled(): number } {
  let handled = 0;
  const follows = projection.follows.map((follow) => ({
    ...follow,
    entity: {
      ...follow.entity,
      decode(recorded: never) {
        handled += 1;
        onHandled();
        return follow.entity.decode(recorded);
      },
    },
  }));
  return { projection: { ...projection, follows }, handled: () => handled };
}

/**
 * Read your own writes: a query with a consistency token waits until the views have seen the token's writes, and not for
 * what they are known to have seen. See README, Consistency tokens, for what each case costs.
 *
 *   token ── known to be visible? ──> the query runs: no call
 *     └─ rounds, for all queries that wait: load the views ──> not there: the next round
 *                                             └─ there, but not for searches: one refresh for all
 */
import { domainOf, entityOfStream } from '@caudal/contract/entity.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { within } from '@caudal/kernel/time.ts';
import { entitiesOf, viewOfStream } from '../events.ts';
import type { CurrentGenerations } from '../generations/generations.ts';
import { type AnyProjection, isMultiStream } from '../multi-stream/types.ts';
import { type Collection, MissingCollection, type ViewStore } from '../stores/store.ts';
import { logEpochs } from './log-epochs.ts';
import { remembered } from './remembered.ts';
import { openRounds } from './rounds.ts';
import {
  checkGatheredViews,
  checkViews,
  type GatheredOptions,
  rememberedStreams,
  type StreamVersion,
  type Wait,
} from './seen-checks.ts';
import { sharedRefresh } from './shared-refresh.ts';

export interface ReadYourWritesOptions<V> {
  projection: AnyProjection<V>;
  store: ViewStore;
  /** Those of the opened views that the queries read. */
  generations: CurrentGenerations;
  /** By domain; those of the projection's entities. */
  logs: ReadonlyMap<string, LogReader>;
  /** Needed by multi-stream projections. */
  passed?: GatheredOptions<V>['passed'];
}

export interface ReadYourWrites {
  /**
   * Resolves once queries see all of these writes. Streams that the projection does not follow are left out. Errors:
   * UNAVAILABLE NOT_YET_VISIBLE if that takes longer than `timeoutMs` (2,000 if absent), also because store or log does
   * not answer; FAILED_PRECONDITION WRITE_LOST if the log has lost a write; UNAVAILABLE if they can't be reached; CANCELLED if `signal` fires.
   */
  seen(writes: StreamVersion[], options?: SeenOptions): Promise<void>;
  /**
   * Whether some of these writes were made before a fail-over of their log, and it is not known that it has kept them: then a view
   * that has their versions may have them from others. `seen` finds out. Never throws, and takes half a second at most.
   */
  mayBeLost(writes: StreamVersion[]): Promise<boolean>;
  /** The writes that may concern one view: without those that are known to belong to another view, or to none. */
  ofView(id: string, writes: StreamVersion[]): StreamVersion[];
}

export interface SeenOptions {
  timeoutMs?: number;
  signal?: AbortSignal;
  /**
   * Called before a wait, but not for what is known to be visible. It says how long this one may be, and may throw if too many wait
   * already.
   */
  begin?(): { timeoutMs: number; end(): void };
}

/** Longer than a token is used in general; it bounds how long a store that was restored is thought to be further. */
const knownMs = 60_000;
/** Elasticsearch writes a segment at each refresh. */
const refreshGapMs = 100;
/** How long a query whose wait was in vain waits to know why. */
const lostWithinMs = 500;
const readsAtOnce = 8;

/** For one projection; all queries of a process share it. */
export function readYourWrites<V>(options: ReadYourWritesOptions<V>): ReadYourWrites {
  const { projection, store, generations, logs, passed } = options;
  const entities = new Set(entitiesOf(projection));
  const epochs = logEpochs(logs);
  /** By generation, epoch of the log, and stream: the version that queries are known to see. */
  const known = remembered<number>({ max: rememberedStreams, forMs: knownMs });
  /** By epochs and stream: the version up to which the log still has what was written in the former one. */
  const kept = remembered<number>({ max: rememberedStreams, forMs: knownMs });
  const refreshes = new WeakMap<Collection, () => Promise<void>>();
  const check = isMultiStream(projection) ? gathered() : checkViews(projection, logs, epochs);

  function gathered() {
    if (!isMultiStream(projection) || !passed)
      throw new Error(`${projection.name} is a multi-stream projection: give the option "passed"`);
    return checkGatheredViews({ projection, store, logs, passed, epochs });
  }

  function refreshOf(collection: Collection): () => Promise<void> {
    const shared = refreshes.get(collection) ?? sharedRefresh(() => collection.refresh(), refreshGapMs);
    refreshes.set(collection, shared);
    return shared;
  }

  const keyOf = (generation: number, write: StreamVersion) => `${generation}/${epochs.of(write)}/${write.stream}`;
  const isKnown = (key: string, { version }: StreamVersion) => (known.get(key) ?? 0) >= version;

  const rounds = openRounds<Waiting>(async (waits) => {
    try {
      const current = await generations.current();
      // Before the check: what it finds need not be so any more in an epoch that begins meanwhile.
      const keys = new Map<Wait, string>(waits.map((wait) => [wait, keyOf(current.number, wait)]));
      const done = (visible: Wait[]) => {
        for (const wait of visible as Waiting[]) {
          const key = keys.get(wait)!;
          if (!isKnown(key, wait)) known.set(key, wait.version);
          wait.succeed();
        }
      };
      const { visible, written } = await check(waits, current);
      for (const wait of waits) wait.checked = true;
      done(visible);
      if (written.length === 0) return;
      // Beside the rounds, so that queries with older tokens do not wait for it.
      for (const wait of written) rounds.remove(wait as Waiting);
      refreshOf(current.collection)().then(
        async () => {
          // If queries read another generation since, that one must show the writes.
          if ((await generations.current()).number === current.number) return done(written);
          for (const wait of written as Waiting[]) wait.again();
        },
        (error: unknown) => fail(written, error),
      );
    } catch (error) {
      fail(waits, error);
    }
  });

  function fail(waits: Wait[], error: unknown): void {
    // Dropped just now: there is another generation, or the next attempt finds that there is none.
    if (error instanceof MissingCollection) generations.forget();
    for (const wait of waits) wait.fail(error);
  }

  async function waitFor(writes: StreamVersion[], deadline: number, signal: AbortSignal | undefined): Promise<void> {
    const open = new Set<Waiting>();
    try {
      const all = writes.map(
        (write) =>
          new Promise<void>((resolve, reject) => {
            const leave = () => {
              rounds.remove(wait);
              open.delete(wait);
            };
            const wait: Waiting = {
              ...write,
              checked: false,
              succeed() {
                leave();
                resolve();
              },
              fail(error) {
                leave();
                reject(error);
              },
              again() {
                wait.checked = false;
                // The caller may have given up.
                if (open.has(wait)) rounds.add(wait);
              },
            };
            open.add(wait);
            rounds.add(wait);
          }),
      );
      if (await within(Math.max(0, deadline - performance.now()), Promise.all(all), signal)) return;
      if (signal?.aborted) throw gone();
      const first = [...open][0] ?? writes[0]!;
      // The log may have got another epoch meanwhile.
      const until = performance.now() + lostWithinMs;
      await epochs.learn([first]);
      await assertKept([first].filter(isOfFormerEpoch), until, signal);
      throw notYetVisible(first);
    } finally {
      for (const wait of open) rounds.remove(wait);
    }
  }

  /** Whether the log has had a fail-over since the write. */
  function isOfFormerEpoch(write: StreamVersion): boolean {
    const { stream, version, epoch = 0 } = write;
    const number = epochs.of(write);
    return number > epoch && (kept.get(`${epoch} ${number} ${stream}`) ?? 0) < version;
  }

  /**
   * Throws WRITE_LOST if the log does not have one of these writes any more: it is shorter, or the version was written again after
   * the fail-over. Then waiting is in vain, and seeing the version proves nothing.
   */
  async function assertKept(writes: StreamVersion[], deadline: number, signal: AbortSignal | undefined): Promise<void> {
    if (writes.length === 0) return;
    const reading = forEachConcurrent(writes, readsAtOnce, async (write) => {
      const { stream, version, epoch = 0 } = write;
      const log = logs.get(domainOf(stream))!;
      const number = epochs.of(write);
      const [event] = await log.readStreams([{ stream, afterVersion: version - 1 }], { limit: 1 });
      if (!event || (event.epoch ?? 0) > epoch) throw writeLost(write);
      kept.set(`${epoch} ${number} ${stream}`, version);
    });
    if (await within(Math.max(0, deadline - performance.now()), reading, signal)) return;
    throw signal?.aborted ? gone() : notYetVisible(writes[0]!);
  }

  return {
    async seen(writes, { timeoutMs = 2_000, signal, begin } = {}) {
      const followed = writes.filter(({ stream, version }) => version > 0 && entities.has(entityOfStream(stream)));
      if (followed.length === 0) return;
      const deadline = performance.now() + timeoutMs;
      const current = generations.current();
      const prepared = Promise.all([current, epochs.learn(followed)]);
      if (!(await within(timeoutMs, prepared, signal))) throw signal?.aborted ? gone() : notYetVisible(followed[0]!);
      const { number } = await current;
      const notKnown = () => followed.filter((write) => !isKnown(keyOf(number, write), write));
      const former = followed.filter(isOfFormerEpoch);
      if (former.length === 0 && notKnown().length === 0) return;
      const wait = begin?.();
      try {
        const until = Math.min(deadline, performance.now() + (wait?.timeoutMs ?? timeoutMs));
        await assertKept(former, until, signal);
        const open = notKnown();
        if (open.length > 0) await waitFor(open, until, signal);
      } finally {
        wait?.end();
      }
    },
    async mayBeLost(writes) {
      await epochs.learn(writes);
      return writes.some(isOfFormerEpoch);
    },
    ofView(id, writes) {
      const followed = writes.filter(({ stream }) => entities.has(entityOfStream(stream)));
      if (isMultiStream(projection) || projection.kind === 'one-per-event') return followed;
      return followed.filter(({ stream }) => {
        const of = viewOfStream(projection, stream);
        return !of || of.view === id;
      });
    },
  };
}

interface Waiting extends Wait {
  succeed(): void;
  /** Takes part in the rounds again, as if it were new. */
  again(): void;
}

function gone(): CaudalError {
  return new CaudalError('CANCELLED', 'CALL_CANCELLED', 'The caller went away.');
}

function writeLost({ stream, version }: StreamVersion): CaudalError {
  return new CaudalError(
    'FAILED_PRECONDITION',
    'WRITE_LOST',
    'Your write was lost in a fail-over: leave the token out, look, and repeat the command if need be.',
    { metadata: { stream, version: String(version) } },
  );
}

function notYetVisible({ stream, version }: StreamVersion): CaudalError {
  return new CaudalError(
    'UNAVAILABLE',
    'NOT_YET_VISIBLE',
    'This view has not seen your write yet: try again with the same token.',
    {
      retryAfterMs: 500,
      metadata: { stream, version: String(version) },
    },
  );
}

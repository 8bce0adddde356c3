/**
 * An event log in memory with the results of the real one, for tests without a server. Appends that arrive while a call
 * is in flight wait for the next one. A test can wrap each call.
 */
import { setImmediate as tick } from 'node:timers/promises';
import type {
  Append,
  AppendResult,
  Claim,
  EventLog,
  KnownClaim,
  RecordedEvent,
  Snapshot,
  StreamAppend,
  StreamConflict,
  StreamHead,
} from '@caudal/eventlog/types.ts';
import { type Clock, sleep, systemClock } from '@caudal/kernel/time.ts';

export interface MemoryLogOptions {
  domain: string;
  clock?: Clock;
  /**
   * Runs one call of the database: `judge()` processes `appends`. Throw before it for a call that never arrived, throw
   * after it for a lost answer, or call it twice for a call that was sent again. By default it runs in a later turn of
   * the event loop.
   */
  call?(judge: () => void, appends: Append[]): Promise<void>;
}

export interface MemoryLog extends EventLog {
  /** Another process's client of the same log. */
  connect(call?: MemoryLogOptions['call']): MemoryLog;
  /** All appended events, in order. */
  readonly events: readonly RecordedEvent[];
  /** The number of calls that this client's appends took. */
  readonly calls: number;
}

/** At most this many appends share a call. */
const callLimit = 64;
const defaultLimit = 1000;

interface Waiting {
  append: Append;
  /** An earlier append, on which it relies, did not land. */
  broken: boolean;
  resolve(result: AppendResult): void;
  reject(error: unknown): void;
}

/** What the appends before it mean for an append. */
interface Judgement {
  /** It can only be a conflict, or a repeat. */
  refused: boolean;
  /** Streams that refused appends of its call would have added to. */
  broken: ReadonlySet<string>;
  /** What appends of its call have recorded. */
  landed: ReadonlySet<string>;
}

/** A claim as it is kept. */
type Kept = Omit<KnownClaim, 'place'> & { expires: number };

const dayMs = 86_400_000;
const partsOf = (append: Append): StreamAppend[] => [append, ...(append.also ?? [])];
const keyOf = ({ scope, id }: Claim) => JSON.stringify([scope, id]);
/** What an append records, by which a later one of the same call would be a repeat. */
const recordedBy = ({ command, claims = [] }: Append): string[] => [
  ...(command?.reply ? [command.key] : []),
  ...claims.filter(({ record }) => record).map(keyOf),
];
const asksFor = ({ command, claims = [] }: Append): string[] => [
  ...(command ? [command.key] : []),
  ...claims.map(keyOf),
];
/** Whether an append with an exact version of one of these streams is among its parts. */
const relies = (append: Append, streams: ReadonlySet<string>) =>
  partsOf(append).some(({ stream, expected }) => typeof expected === 'number' && streams.has(stream));

export function memoryLog(options: MemoryLogOptions): MemoryLog {
  return openClient(openStore(options), options.call);
}

type Store = ReturnType<typeof openStore>;

/** The contents of the database, and its checks. */
function openStore({ domain, clock = systemClock }: MemoryLogOptions) {
  const events: RecordedEvent[] = [];
  const streams = new Map<string, RecordedEvent[]>();
  const commands = new Map<string, { hash: Uint8Array; reply: Uint8Array; stream: string; version: number }>();
  const claims = new Map<string, Kept>();
  const snapshots = new Map<string, Snapshot>();
  const store = { domain, clock, events, snapshots, of, judge, grown: new AbortController() };

  function of(stream: string): RecordedEvent[] {
    return streams.get(stream) ?? [];
  }

  /** What a part has not found as expected; undefined if it has. */
  function conflictOf({ stream, expected }: StreamAppend, broken: boolean): StreamConflict | undefined {
    const before = of(stream);
    const version = before.length;
    const fits = expected === 'any' || (expected === 'must-exist' ? version > 0 : version === expected && !broken);
    if (fits) return undefined;
    return { version, missing: typeof expected === 'number' ? before.slice(expected, expected + 1000) : [] };
  }

  function unexpectedClaims(asked: Claim[], now: number): KnownClaim[] {
    return asked.flatMap((claim, place) => {
      const kept = claims.get(keyOf(claim));
      if (!kept || kept.expires <= now) return [];
      const { expected = 'absent' } = claim;
      const { expires: _, ...known } = kept;
      return expected === 'any' || expected === kept.generation ? [] : [{ place, ...known }];
    });
  }

  function recordClaims(asked: Claim[], version: number, now: number): void {
    for (const claim of asked) {
      if (!claim.record) continue;
      const kept = claims.get(keyOf(claim));
      // One that ended longer ago may have been dropped.
      const before = kept && kept.expires > now - 10 * dayMs ? kept : undefined;
      const generation = before ? before.generation + 1 : 0;
      const expires = Math.max(now + (claim.record.days ?? claim.days) * dayMs, before?.expires ?? 0);
      const { kind, outcome } = claim.record;
      claims.set(keyOf(claim), { kind, outcome, generation, version, expires });
    }
  }

  function record({ stream, events: added }: StreamAppend, recordedAt: Date): number {
    const before = of(stream);
    const version = before.length;
    const recorded = added.map((event, index) => ({
      ...event,
      stream,
      version: version + index + 1,
      position: events.length + index + 1,
      recordedAt,
    }));
    if (recorded.length > 0) streams.set(stream, before);
    before.push(...recorded);
    events.push(...recorded);
    return version + recorded.length;
  }

  function judge(append: Append, { refused, broken, landed }: Judgement): AppendResult {
    const { stream, command, claims: asked = [] } = append;
    const known = command && !landed.has(command.key) ? commands.get(command.key) : undefined;
    if (command && known) {
      if (!Buffer.from(known.hash).equals(command.hash)) return { kind: 'reused' };
      return { kind: 'duplicate', reply: known.reply, stream: known.stream, version: known.version };
    }
    const parts = partsOf(append);
    const conflicts = parts.map((part) => conflictOf(part, broken.has(part.stream)));
    const withAlso = <T>(also: T[]) => append.also && { also };
    if (refused || conflicts.some(Boolean)) {
      const [first, ...also] = parts.map(
        (part, n) => conflicts[n] ?? conflictOf(part, true) ?? { version: of(part.stream).length, missing: [] },
      );
      return { kind: 'conflict', ...first!, ...withAlso(also) };
    }
    const recordedAt = new Date(Math.max(clock().getTime(), events.at(-1)?.recordedAt.getTime() ?? 0));
    const unexpected = unexpectedClaims(asked, recordedAt.getTime());
    if (unexpected.length > 0) return { kind: 'claimed', claims: unexpected };
    const before = events.length;
    const [version, ...also] = parts.map((part) => record(part, recordedAt)) as [number, ...number[]];
    recordClaims(asked, version, recordedAt.getTime());
    store.grown.abort();
    store.grown = new AbortController();
    if (command?.reply) commands.set(command.key, { hash: command.hash, reply: command.reply, stream, version });
    return {
      kind: 'appended',
      version,
      position: events.length > before ? events.length : 0,
      recordedAt,
      ...withAlso(also),
    };
  }

  return store;
}

function openClient(store: Store, call: NonNullable<MemoryLogOptions['call']> = judgeSoon): MemoryLog {
  const { domain, clock, events, snapshots, of, judge } = store;
  let waiting: Waiting[] = [];
  let running = false;
  let calls = 0;

  async function run(): Promise<void> {
    running = true;
    // Appends that are made in the same turn of the event loop share a call.
    await Promise.resolve();
    while (waiting.length > 0) {
      const batch = waiting.slice(0, callLimit);
      waiting = waiting.slice(callLimit);
      const broken = new Set<string>();
      const recorded = new Set<string>();
      const landed = new Set<string>();
      const breakStreams = (append: Append) => {
        for (const { stream, events: added } of partsOf(append)) if (added.length > 0) broken.add(stream);
      };
      let results: AppendResult[] = [];
      calls += 1;
      try {
        await call(
          () => {
            results = [];
            broken.clear();
            recorded.clear();
            landed.clear();
            for (const { append, broken: before } of batch) {
              const again = asksFor(append).some((key) => recorded.has(key));
              const result = judge(append, { refused: before || again, broken, landed });
              if (result.kind !== 'appended') breakStreams(append);
              else for (const key of recordedBy(append)) landed.add(key);
              for (const key of recordedBy(append)) recorded.add(key);
              results.push(result);
            }
          },
          batch.map(({ append }) => append),
        );
        batch.forEach(({ resolve }, index) => {
          resolve(results[index]!);
        });
      } catch (error) {
        for (const { append, reject } of batch) {
          breakStreams(append);
          reject(error);
        }
      }
      for (const later of waiting) later.broken ||= relies(later.append, broken);
    }
    running = false;
  }

  return {
    domain,
    events,
    connect: (ofOther) => openClient(store, ofOther),
    get calls() {
      return calls;
    },
    append(append) {
      return new Promise((resolve, reject) => {
        waiting.push({ append, broken: false, resolve, reject });
        if (!running) void run();
      });
    },
    async readStreams(cursors, { limit = defaultLimit } = {}) {
      await tick();
      return [...cursors]
        .sort((a, b) => (a.stream < b.stream ? -1 : 1))
        .flatMap(({ stream, afterVersion }) => of(stream).slice(afterVersion))
        .slice(0, limit);
    },
    async readLog(afterPosition, { limit = defaultLimit, waitMs = 0, signal } = {}) {
      if (events.length <= afterPosition && waitMs > 0)
        await sleep(waitMs, signal ? AbortSignal.any([signal, store.grown.signal]) : store.grown.signal);
      return { events: events.slice(afterPosition, afterPosition + limit), head: events.length };
    },
    async heads(afterPosition, { minAgeMs = 0, limit = defaultLimit } = {}) {
      const oldEnough = clock().getTime() - minAgeMs;
      const seen = events
        .slice(afterPosition, afterPosition + limit)
        .filter(({ recordedAt }) => recordedAt.getTime() <= oldEnough);
      const heads = new Map<string, StreamHead>();
      for (const { stream, version, position } of seen) {
        heads.delete(stream);
        heads.set(stream, { stream, version, position });
      }
      return { heads: [...heads.values()], position: seen.at(-1)?.position ?? afterPosition };
    },
    async *readStream(stream, afterVersion = 0) {
      for (let after = afterVersion; ; after += defaultLimit) {
        await tick();
        const page = of(stream).slice(after, after + defaultLimit);
        if (page.length > 0) yield page;
        if (page.length < defaultLimit) return;
      }
    },
    async loadSnapshot(stream) {
      await tick();
      return snapshots.get(stream);
    },
    async findSnapshot(stream) {
      await tick();
      const snapshot = snapshots.get(stream);
      return snapshot && { version: snapshot.version, schemaVersion: snapshot.schemaVersion };
    },
    async saveSnapshot(stream, snapshot) {
      await tick();
      snapshots.set(stream, snapshot);
    },
  };
}

async function judgeSoon(judge: () => void): Promise<void> {
  await tick();
  judge();
}

/**
 * How many calls of a class a caller may make in a window. Each process counts for itself and decides at once; with a shared
 * counter the processes add up what each of them has counted, a few times a second. docs/limits.md has what that can miss.
 */
import { hash } from 'node:crypto';
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { LRUCache } from 'lru-cache';
import { noteRefusal, type Party } from './places.ts';

/** The classes that calls are counted by. */
export const rateClasses = ['light', 'read', 'write', 'heavy', 'webhook'] as const;
export type RateClass = (typeof rateClasses)[number];

export interface Quota {
  calls: number;
  windowMs: number;
}

/** The quota of each class, and of checks that fail; what has none is not limited. */
export type Quotas = Partial<Record<RateClass | 'failed', Quota | undefined>>;

/** A count of a window that all processes share: its sum, and how long the window still lasts. */
export interface SharedCount {
  count: number;
  leftMs: number;
}

/** Counts that processes share. */
export interface SharedCounts {
  /**
   * Adds to each count, which begins at zero and ends with its window. Undefined if the counts can't be reached, or do not
   * answer soon.
   */
  add(counts: { key: string; calls: number; windowMs: number }[]): Promise<SharedCount[] | undefined>;
}

/** Where a caller stands after a call, for the headers of the answer. */
export interface Standing {
  policy: RateClass;
  quota: number;
  windowMs: number;
  left: number;
  leftMs: number;
}

/** A call that was counted. */
export interface CountedCall {
  /** As it is now. */
  standing(): Standing;
  /**
   * Counts the call once more for each 4 KiB of its request, up to 128 times. Throws RATE_LIMITED, unless `refuses` is false: for a message
   * of a stream, whose caller is held back before the next one.
   */
  charge(requestBytes: number, options?: { refuses: boolean }): void;
}

export interface RateLimits {
  /** Counts a call of this caller. Undefined if the call is not limited. Throws RATE_LIMITED. */
  count(contract: MethodContract, party: Party): CountedCall | undefined;
  /** Throws TOO_MANY_FAILED_CHECKS if so many tokens, keys or signatures of this network were wrong in its window. */
  mayCheck(network: string): void;
  /** Counts a token, key or signature of this network that was wrong. */
  countFailed(network: string): void;
  stop(): void;
}

/** Callers that act for all owners, such as a shop's server, make calls for many people. */
export const anyFactor = 10;
/** What one call of the quota stands for: the work on a request grows with its bytes, whether it is refused or not. */
const bytesACall = 4 * 1024;
/** Longer ones are not more work: they end at a bound, or have little in them. */
const mostCalls = 128;
/** The windows of callers that are remembered, each of one class. */
export const maxWindows = 20_000;
const shareEveryMs = 100;
/** What a process counts by itself before it tells others: a fiftieth of the quota. */
const untoldPart = 50;
/** The most counts of one call of the shared counter. */
const batch = 500;

interface Window {
  /** Of this caller and class; shared counts have a hash of it. */
  key: string;
  quota: number;
  windowMs: number;
  endsAt: number;
  /** What all processes have counted, as far as it is known, with what this one has told. */
  told: number;
  /** What this process has counted and not told. */
  untold: number;
  queued: boolean;
}

/** The class of a method; undefined if it is not limited. */
export function rateClassOf({ rateLimit, noSideEffects }: MethodContract): RateClass | undefined {
  switch (rateLimit) {
    case 'UNLIMITED':
      return undefined;
    case 'LIGHT':
      return 'light';
    case 'HEAVY':
      return 'heavy';
    case 'WEBHOOK':
      return 'webhook';
    case 'DEFAULT':
      return noSideEffects ? 'read' : 'write';
  }
}

/** `now`: for tests, milliseconds that only grow. */
export function openRateLimits(
  quotas: Quotas,
  shared?: SharedCounts,
  now: () => number = () => performance.now(),
): RateLimits {
  const windows = new LRUCache<string, Window>({ max: maxWindows });
  /** Apart from those of calls, so that wrong tokens from many addresses can't push the windows of callers out. */
  const failures = new LRUCache<string, Window>({ max: maxWindows });
  /** Those that have something to tell. */
  let queue: Window[] = [];
  let telling = false;

  const tell = async () => {
    if (!shared || telling || queue.length === 0) return;
    telling = true;
    const due = queue;
    queue = [];
    try {
      for (let place = 0; place < due.length; place += batch) {
        await tellBatch(shared, due.slice(place, place + batch));
      }
    } finally {
      telling = false;
    }
  };
  const tellBatch = async (to: SharedCounts, all: Window[]) => {
    // Of a window that has ended meanwhile nothing has to be known.
    const open = all.filter(({ endsAt }) => endsAt > now());
    for (const window of all) window.queued = false;
    const calls = open.map(({ untold }) => untold);
    open.forEach((window, place) => {
      window.told += calls[place]!;
      window.untold -= calls[place]!;
    });
    const begun = open.map(({ endsAt }) => endsAt);
    const sums = await to.add(
      open.map(({ key, windowMs }, place) => ({ key: hashed(key), calls: calls[place]!, windowMs })),
    );
    sums?.forEach(({ count, leftMs }, place) => {
      const window = open[place]!;
      // It has ended while the answer was on its way.
      if (window.endsAt !== begun[place]) return;
      window.told = Math.max(window.told, count);
      window.endsAt = now() + Math.min(leftMs, window.windowMs);
    });
  };
  const timer = shared && setInterval(() => void tell(), shareEveryMs).unref();

  const windowOf = (all: typeof windows, id: string, { calls: quota, windowMs }: Quota): Window => {
    const at = now();
    let window = all.get(id);
    if (!window) {
      window = { key: id, quota, windowMs, endsAt: at + windowMs, told: 0, untold: 0, queued: false };
      all.set(id, window);
    } else if (window.endsAt <= at) {
      window.endsAt = at + windowMs;
      window.told = 0;
      window.untold = 0;
    }
    return window;
  };
  const addTo = (window: Window, calls: number) => {
    window.untold += calls;
    if (shared && !window.queued && window.told + window.untold >= window.quota / untoldPart) {
      window.queued = true;
      queue.push(window);
    }
  };
  const failedId = (network: string, { calls }: Quota) => `failed ${calls} ${network}`;

  return {
    count(contract, party) {
      const policy = rateClassOf(contract);
      const quota = policy && quotas[policy];
      if (!quota || party.kind === 'own') return undefined;
      const calls = party.kind === 'any' ? quota.calls * anyFactor : quota.calls;
      const window = windowOf(windows, `${policy} ${calls} ${party.key}`, { ...quota, calls });
      const standing = (): Standing => ({
        policy,
        quota: calls,
        windowMs: quota.windowMs,
        left: Math.max(0, calls - window.told - window.untold),
        leftMs: Math.max(0, window.endsAt - now()),
      });
      const add = (more: number) => {
        if (window.told + window.untold >= calls) {
          noteRefusal('RATE_LIMITED');
          throw new RateLimited(standing());
        }
        addTo(window, more);
      };
      add(1);
      return {
        standing,
        charge(requestBytes, { refuses } = { refuses: true }) {
          const more = Math.min(mostCalls, Math.floor(requestBytes / bytesACall));
          if (more > 0 && refuses) add(more);
          else if (more > 0) addTo(window, more);
        },
      };
    },
    mayCheck(network) {
      const window = quotas.failed && failures.get(failedId(network, quotas.failed));
      if (!window || window.endsAt <= now() || window.told + window.untold < window.quota) return;
      noteRefusal('TOO_MANY_FAILED_CHECKS');
      throw tooManyFailed(window, window.endsAt - now());
    },
    countFailed(network) {
      const { failed } = quotas;
      if (failed) addTo(windowOf(failures, failedId(network, failed), failed), 1);
    },
    stop: () => clearInterval(timer),
  };
}

/** Callers that were refused in the same window do not all come back at its end. */
const afterWindow = (leftMs: number, windowMs: number) =>
  Math.max(1, Math.ceil(leftMs + Math.min(1_000, windowMs / 10) * Math.random()));

function tooManyFailed({ quota, windowMs }: Pick<Window, 'quota' | 'windowMs'>, leftMs: number): CaudalError {
  return new CaudalError(
    'RESOURCE_EXHAUSTED',
    'TOO_MANY_FAILED_CHECKS',
    `From this address came ${quota} wrong tokens, keys or signatures in ${windowMs / 1000} s: wait for the next window. The operator's setting is CAUDAL_RATE_LIMIT_FAILED.`,
    { retryAfterMs: afterWindow(leftMs, windowMs) },
  );
}

/** A caller may be named by a mail address, which is nothing to be kept elsewhere. */
const hashed = (key: string) => hash('sha256', key, 'base64url').slice(0, 27);

/** The error for a call above the quota; it knows the standing. */
export class RateLimited extends CaudalError {
  readonly standing: Standing;

  constructor(standing: Standing) {
    const { policy, quota, windowMs, leftMs } = standing;
    super(
      'RESOURCE_EXHAUSTED',
      'RATE_LIMITED',
      `This caller has made its ${quota} calls of the class "${policy}" in ${windowMs / 1000} s: wait for the next window. The operator's setting is CAUDAL_RATE_LIMIT_${policy.toUpperCase()}.`,
      {
        retryAfterMs: afterWindow(leftMs, windowMs),
        metadata: { policy, quota: String(quota) },
      },
    );
    this.standing = standing;
  }
}

/** The headers of the IETF's draft for RateLimit, with the names of gRPC metadata. */
export function rateHeaders({ policy, quota, windowMs, left, leftMs }: Standing): Record<string, string> {
  return {
    'ratelimit-policy': `"${policy}";q=${quota};w=${Math.ceil(windowMs / 1000)}`,
    ratelimit: `"${policy}";r=${left};t=${Math.max(1, Math.ceil(leftMs / 1000))}`,
  };
}

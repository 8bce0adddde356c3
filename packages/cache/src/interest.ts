/** Counts of looks at things, in Redis or in this process's memory: write-back, since a lost one harms nobody. */
import type { Running } from '@caudal/kernel/lifetime.ts';
import { LRUCache } from 'lru-cache';
import type { SharedCounts } from './shared-counts.ts';
import { openWriteBack } from './write-back.ts';

const dayMs = 86_400_000;
/** Things that a process without Redis remembers. */
const maxThings = 10_000;

/** Counts of one kind of things. */
export interface Counts {
  /** Counts a look. Never waits, never fails. */
  saw(id: string): void;
  /** The looks of all processes within a day, as far as they have told. */
  of(id: string): Promise<number>;
}

export interface InterestOptions {
  /** Where processes count together; absent: each counts for itself. `stop` leaves it open. */
  shared: SharedCounts | undefined;
  /** How often counts are told to the others; 5,000 if absent. */
  everyMs?: number;
}

export interface InterestCounts extends Running {
  /** Those of one kind of things. */
  in(kind: string): Counts;
}

/** A count begins with the first look, and ends a day later. */
export function openInterest({ shared, everyMs }: InterestOptions): InterestCounts {
  const own = new LRUCache<string, number>({ max: maxThings, ttl: dayMs, noUpdateTTL: true });
  const kinds = new Map<string, Counts>();
  const stops: (() => Promise<void>)[] = [];

  function counted(kind: string): Counts {
    const keyOf = (id: string) => `${kind}/${id}`;
    if (!shared)
      return {
        saw: (id) => void own.set(keyOf(id), (own.get(keyOf(id)) ?? 0) + 1),
        of: async (id) => own.get(keyOf(id)) ?? 0,
      };
    const back = openWriteBack<number>({
      ...{ name: kind, everyMs },
      merge: (first, second) => first + second,
      async flush(changes) {
        const counts = [...changes].map(([id, calls]) => ({ key: keyOf(id), calls, windowMs: dayMs }));
        if (!(await shared.add(counts))) throw new Error('Redis is away, or too slow');
      },
    });
    stops.push(() => back.stop());
    return {
      saw: (id) => back.add(id, 1),
      async of(id) {
        const sums = await shared.add([{ key: keyOf(id), calls: 0, windowMs: dayMs }]);
        return (sums?.[0]?.count ?? 0) + (back.pending(id) ?? 0);
      },
    };
  }

  return {
    in(kind) {
      const known = kinds.get(kind) ?? counted(kind);
      kinds.set(kind, known);
      return known;
    },
    async stop() {
      await Promise.all(stops.map((stop) => stop()));
    },
  };
}

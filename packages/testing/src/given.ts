/** Given / when / gives (or refuses) for aggregates: events, a decision on their state, its events or its refusal. */

import type { ClaimContext, Decider } from '@caudal/aggregates/types.ts';
import type { EventCase } from '@caudal/contract/entity.ts';
import type { CaudalError, Code } from '@caudal/kernel/errors.ts';
import { expect } from '@jest/globals';
import { claimsInMemory } from './claims-in-memory.ts';

const start = new Date('2026-01-01T00:00:00Z');

/** The behaviour of a decider after these events, which happened at `at` (midnight of 2026-01-01 if absent). */
export function given<S, E extends EventCase, C>(decider: Decider<S, E, C>, events: E[], at: Date = start) {
  const claims = claimsInMemory(decider.claims);
  for (const event of events) claims.record(event, at);
  const state = events.reduce<S>((before, event) => decider.evolve(before, event, at), decider.initial);
  return {
    state,
    /** What the events' claims say of the id at that time. */
    claim: (id: string) => claims.context(at).claim(id),
    when(decide: (state: S, context: ClaimContext<C>) => E[], now: Date = start) {
      const run = () => decide(state, claims.context(now, events.length));
      return {
        /** The decision gives these events, in this order, and their encoding preserves them. */
        gives(expected: E[]): void {
          const events = run();
          expect(events).toEqual(expected);
          expect(events.map((event) => decider.entity.decode(decider.entity.encode(event)))).toEqual(expected);
        },
        /** The decision is refused with this code and reason. */
        refuses(code: Code, reason: string): void {
          let error: unknown;
          try {
            run();
          } catch (thrown) {
            error = thrown;
          }
          expect({ code: (error as CaudalError)?.code, reason: (error as CaudalError)?.reason }).toEqual({
            code,
            reason,
          });
        },
      };
    },
  };
}

/** The claims of one stream's events, for tests of decisions without a log. */
import type { ClaimContext, ClaimRules } from '@caudal/aggregates/types.ts';
import type { EventCase } from '@caudal/contract/entity.ts';

const dayMs = 86_400_000;

export interface ClaimsInMemory<C, E extends EventCase> {
  /** Records what the event leaves behind. */
  record(event: E, at: Date): void;
  /** The context of a decision. */
  context(now: Date, version?: number): ClaimContext<C>;
}

/** Without rules it never knows an id. */
export function claimsInMemory<C, E extends EventCase>(rules: ClaimRules<C, E> | undefined): ClaimsInMemory<C, E> {
  const known = new Map<string, { outcome: C; ends: number }>();
  return {
    record(event, at) {
      for (const { id, outcome, days = rules!.days } of rules?.of(event) ?? [])
        known.set(id, { outcome, ends: at.getTime() + days * dayMs });
    },
    context(now, version = 1) {
      const claim = (id: string) => {
        const one = known.get(id);
        return one && one.ends > now.getTime() ? one.outcome : undefined;
      };
      return { now, version, claim, lookUp: claim };
    },
  };
}

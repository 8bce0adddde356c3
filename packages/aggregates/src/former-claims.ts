/**
 * The claims of events that version 0.2 has recorded: it recorded no claims, so these events stand for them. They are kept
 * beside the state until they end; after that a stream has none. See README, The upgrade from 0.2.
 */
import type { EventCase } from '@caudal/contract/entity.ts';
import {
  bytesOf,
  deleteEntry,
  type ExpiringMap,
  emptyExpiringMap,
  getEntry,
  setEntry,
} from '@caudal/kernel/expiring-map.ts';
import type { ClaimRules } from './types.ts';

export interface FormerClaims<C = unknown> {
  /** Outcomes by id. */
  outcomes: ExpiringMap<C>;
  /** When the last of them ends, in milliseconds since 1970. */
  until: number;
}

const dayMs = 86_400_000;

/** Those after an event. `claimed`: its claims were recorded with it, so they are in the log, and only there. */
export function formerAfter(
  rules: ClaimRules<unknown> | undefined,
  before: FormerClaims | undefined,
  event: EventCase,
  at: Date,
  claimed: boolean,
): FormerClaims | undefined {
  const left = unlessEnded(before, at);
  if (!rules || (claimed && !left)) return undefined;
  const leaves = rules.of(event);
  if (leaves.length === 0) return left;
  let { outcomes, until } = left ?? { outcomes: emptyExpiringMap<unknown>(), until: 0 };
  for (const { id, outcome, days = rules.days } of leaves) {
    if (claimed) outcomes = deleteEntry(outcomes, id, at);
    else {
      const ends = at.getTime() + days * dayMs;
      outcomes = setEntry(outcomes, id, outcome, ends, at);
      until = Math.max(until, ends);
    }
  }
  return { outcomes, until };
}

/** The outcome of the id, unless it has ended. */
export function formerClaim(former: FormerClaims | undefined, id: string, now: Date): unknown {
  return former && getEntry(former.outcomes, id, now);
}

/** Undefined once all have ended, so that they take no memory any more. */
export function unlessEnded(former: FormerClaims | undefined, now: Date): FormerClaims | undefined {
  return former && former.until > now.getTime() ? former : undefined;
}

/** About how many bytes they take; outcomes are small or shared. */
export function formerBytes(former: FormerClaims | undefined): number {
  return former ? bytesOf(former.outcomes, 0) : 0;
}

/**
 * A parcel's state as text: JSON in which a trace stands once. Most facts are traces that are among the latest, too: a fact is then the place
 * of its trace among these. For four traces that is 0.9 kB in place of 1.3.
 */
import { saysTheSame } from './parcel.ts';
import type { ParcelFacts, ParcelState, Seen } from './parcel-state.ts';

type Stored = Seen | number;
const facts = ['eta', 'place', 'photo', 'signature'] as const;

/** Every trace of the facts, replaced by `replace`. */
function withTraces<To>(of: ParcelFacts, replace: (seen: Stored) => To): unknown {
  const replaced: Record<string, unknown> = { ...of };
  replaced.latest = Object.fromEntries(Object.entries(of.latest).map(([status, seen]) => [status, replace(seen)]));
  for (const name of facts) if (of[name] !== undefined) replaced[name] = replace(of[name]);
  return replaced;
}

export function stateText(state: ParcelState): string {
  const { recent } = state;
  return JSON.stringify({
    ...state,
    facts: withTraces(state.facts, (seen) => {
      const place = recent.findIndex((one) => saysTheSame(one, seen as Seen));
      return place < 0 ? seen : place;
    }),
  });
}

/** The state of such a text. */
export function readState(text: string): ParcelState {
  const state = JSON.parse(text) as ParcelState;
  const { recent } = state;
  return {
    ...state,
    facts: withTraces(state.facts, (seen) => (typeof seen === 'number' ? recent[seen]! : seen)) as ParcelFacts,
  };
}

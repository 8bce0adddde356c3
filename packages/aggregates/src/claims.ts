/**
 * What a decision asks and records beside the state: see README, Claims. A claim of a stream is recorded only with an event
 * of this stream. So the stream's version stands for all its claims, and a decision on claims of commands in flight is as
 * safe as one on their states: if theirs do not land, neither does this one.
 */
import type { EventCase } from '@caudal/contract/entity.ts';
import type { Claim, KnownClaim } from '@caudal/eventlog/types.ts';
import type { AnyDecider, State } from './entry.ts';
import { formerClaim } from './former-claims.ts';
import type { ClaimRules, Remembered } from './types.ts';

/** What commands ahead of a decision have recorded, and its own command has got from the log. */
export interface KnownClaims {
  /** By id: the outcomes that commands in flight record. */
  inFlight: ReadonlyMap<string, Remembered<unknown>>;
  /** By id: what the log has answered to the command. */
  fromLog: ReadonlyMap<string, KnownClaim | 'absent'>;
}

/** How an id was found. `expected` absent: the stream's version says it, and the log need not be asked. */
interface Found {
  outcome: unknown;
  expected?: 'absent' | number;
}

export interface ClaimView {
  /** The outcome of the id; undefined if it is taken for absent, which the append checks. */
  claim(id: string): unknown;
  /** The same. If it is a guess, the log is asked for the claims, and what was decided does not count. */
  lookUp(id: string): unknown;
  /** Whether `lookUp` has guessed. */
  mustLook(): boolean;
  /** The outcome of the id after these events. */
  claimAfter(recorded: ReadonlyMap<string, Remembered<unknown>>): (id: string) => unknown;
  /** The claims of the append: all that was asked, and what the events record. */
  claims(recorded: ReadonlyMap<string, Remembered<unknown>>): Claim[];
}

const nothing: ReadonlyMap<string, Remembered<unknown>> = new Map();

/** What these events leave behind, by id; of several about one id the last one. */
export function remembered(
  rules: ClaimRules<unknown> | undefined,
  events: EventCase[],
): ReadonlyMap<string, Remembered<unknown>> {
  if (!rules) return nothing;
  return new Map(events.flatMap((event) => rules.of(event).map((one) => [one.id, one] as const)));
}

/** The claims as a decision on this state sees them. */
export function openClaimView(
  stream: string,
  { claims: rules, entity }: AnyDecider,
  before: State,
  { inFlight, fromLog }: KnownClaims,
  now: Date,
): ClaimView {
  const asked = new Map<string, Found>();
  let guessed = false;

  function find(id: string): Found {
    if (!rules) throw new Error(`${entity.name}: a decision asks for a claim, but its decider has no rules of claims`);
    const ahead = inFlight.get(id);
    if (ahead) return { outcome: ahead.outcome };
    const former = formerClaim(before.former, id, now);
    // A stream without events has recorded nothing.
    if (former !== undefined || before.version === 0) return { outcome: former };
    const known = fromLog.get(id);
    if (!known || known === 'absent') return { outcome: undefined, expected: 'absent' };
    return { outcome: rules.decode(known), expected: known.generation };
  }

  function claim(id: string): unknown {
    let found = asked.get(id);
    if (!found) {
      found = find(id);
      asked.set(id, found);
    }
    return found.outcome;
  }

  function toClaim(id: string, expected: Claim['expected'], record?: Remembered<unknown>): Claim {
    const { days, encode } = rules!;
    return {
      ...{ scope: stream, id, days, expected },
      ...(record && { record: { ...encode(record.outcome), days: record.days } }),
    };
  }

  return {
    claim,
    lookUp(id) {
      const outcome = claim(id);
      guessed ||= asked.get(id)!.expected === 'absent' && !fromLog.has(id);
      return outcome;
    },
    mustLook: () => guessed,
    claimAfter: (recorded) => (id) => recorded.get(id)?.outcome ?? claim(id),
    claims(recorded) {
      const looked = Array.from(asked, ([id, { expected }]) =>
        expected === undefined || recorded.has(id) ? [] : [toClaim(id, expected)],
      );
      const records = Array.from(recorded, ([id, one]) => toClaim(id, asked.get(id)?.expected ?? 'any', one));
      return [...looked.flat(), ...records];
    },
  };
}

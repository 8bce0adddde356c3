/** An aggregate for tests: a gate that admits each ticket once. Its state counts; claims remember the tickets. */
import type { Entity } from '@caudal/contract/entity.ts';
import { refused } from '@caudal/kernel/errors.ts';
import { type ExpiringMap, emptyExpiringMap, getEntry, setEntry } from '@caudal/kernel/expiring-map.ts';
import { noReply } from '../no-reply.ts';
import type { ClaimRules, Command, Decider } from '../types.ts';

export type GateEvent =
  | { $case: 'opened'; value: object }
  | { $case: 'admitted' | 'banned'; value: { ticket: string } };

export interface Gate {
  admitted: number;
}

/** The gate before there were claims. */
export interface FormerGate extends Gate {
  seen: ExpiringMap<string>;
}

const entity: Entity<GateEvent> = {
  name: 'test.gate',
  domain: 'test',
  stream: (id) => `test.gate/${id}`,
  encode: (event) => ({
    type: `test.gate.${event.$case}.v1`,
    schemaVersion: 1,
    data: Buffer.from(JSON.stringify(event)),
  }),
  decode: ({ data }) => JSON.parse(Buffer.from(data).toString()),
  upcast: (event) => event,
};

const claims: ClaimRules<string, GateEvent> = {
  days: 2,
  of({ $case, value }) {
    if ($case === 'opened') return [];
    return [{ id: value.ticket, outcome: $case, ...($case === 'banned' && { days: 20 }) }];
  },
  encode: (outcome) => ({ kind: outcome === 'admitted' ? 1 : 2, outcome: Buffer.from(outcome) }),
  decode: ({ outcome }) => Buffer.from(outcome).toString(),
};

const evolve = <S extends Gate>(state: S, { $case }: GateEvent): S =>
  $case === 'admitted' ? { ...state, admitted: state.admitted + 1 } : state;

export const gate: Decider<Gate, GateEvent, string> = {
  entity,
  initial: { admitted: 0 },
  evolve,
  claims,
  snapshot: {
    every: 5,
    schemaVersion: 2,
    former: {
      schemaVersion: 1,
      read(former) {
        const { admitted, seen } = former as FormerGate;
        return { state: { admitted }, claims: seen, until: new Date(8.64e15) };
      },
    },
  },
};

/** As version 0.2 had it: its state remembers, and its events are recorded without claims. */
export const formerGate: Decider<FormerGate, GateEvent> = {
  entity,
  initial: { admitted: 0, seen: emptyExpiringMap() },
  evolve(state, event, at) {
    const left = claims.of(event).map(({ id, outcome, days = claims.days }) => ({
      ...{ id, outcome },
      until: at.getTime() + days * 86_400_000,
    }));
    const seen = left.reduce((map, { id, outcome, until }) => setEntry(map, id, outcome, until, at), state.seen);
    return evolve({ ...state, seen }, event);
  },
  snapshot: { every: 5, schemaVersion: 1 },
};

const command = {
  ...{ id: 'g', reply: () => undefined, replyCodec: noReply },
  origin: { actor: 'caller', causationId: '', correlationId: '', traceparent: '' },
};

type GateCommand = Command<Gate, GateEvent, undefined, string>;

/** Admits the ticket; refused if it was used or banned. */
export function admit(ticket: string): GateCommand {
  return {
    ...command,
    decider: gate,
    decide(_, { claim }) {
      const before = claim(ticket);
      if (before) throw refused(`TICKET_${before.toUpperCase()}`, 'No.');
      return [{ $case: 'admitted', value: { ticket } }];
    },
  };
}

/** Bans the ticket, whether it was used or not. */
export function ban(ticket: string): GateCommand {
  return { ...command, decider: gate, decide: () => [{ $case: 'banned', value: { ticket } }] };
}

/** Bans the ticket unless it is banned. It is probably known, so it is looked up first. */
export function banOnce(ticket: string): GateCommand {
  return {
    ...command,
    decider: gate,
    decide: (_, { lookUp }) => (lookUp(ticket) === 'banned' ? [] : [{ $case: 'banned', value: { ticket } }]),
  };
}

/** Answers how the ticket was dealt with; refused if it was not. Changes nothing. */
export function lookUp(ticket: string): Command<Gate, GateEvent, string, string> {
  return {
    ...command,
    decider: gate,
    decide(_, { claim }) {
      if (!claim(ticket)) throw refused('TICKET_UNKNOWN', 'No.');
      return [];
    },
    reply: ({ claim }) => claim(ticket)!,
    replyCodec: { encode: (reply) => ({ finish: () => Buffer.from(reply) }), decode: (data) => String(data) },
  };
}

/** Opens the gate, and admits tickets as version 0.2 did. */
export function formerlyAdmit(...tickets: string[]): Command<FormerGate, GateEvent, undefined> {
  const admitted = tickets.map((ticket) => ({ $case: 'admitted' as const, value: { ticket } }));
  return { ...command, decider: formerGate, decide: () => [{ $case: 'opened', value: {} }, ...admitted] };
}

/** Admits the ticket as version 0.2 did; refused if it was used or banned. */
export function formerlyAdmitOnce(ticket: string): Command<FormerGate, GateEvent, undefined> {
  return {
    ...command,
    decider: formerGate,
    decide({ seen }, { now }) {
      const before = getEntry(seen, ticket, now);
      if (before) throw refused(`TICKET_${before.toUpperCase()}`, 'No.');
      return [{ $case: 'admitted', value: { ticket } }];
    },
  };
}

/** Opens the gate. */
export const openGate: GateCommand = { ...command, decider: gate, decide: () => [{ $case: 'opened', value: {} }] };

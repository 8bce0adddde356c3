/** An aggregate for tests: money is added and taken, and the balance never falls below 0. */
import type { Entity } from '@caudal/contract/entity.ts';
import { refused } from '@caudal/kernel/errors.ts';
import { contentHash, derivedId } from '@caudal/kernel/ids.ts';
import type { Command, Decider } from '../types.ts';

export type PurseEvent =
  | { $case: 'opened'; value: { owner: string } }
  | { $case: 'added'; value: { amount: number; tag: string } }
  | { $case: 'taken'; value: { amount: number; tag: string } };

export interface Purse {
  owner?: string;
  balance: number;
  /** When the last event happened. */
  touched?: Date;
}

export interface Balance {
  balance: number;
  version: number;
}

const entity: Entity<PurseEvent> = {
  name: 'test.purse',
  domain: 'test',
  stream: (id) => `test.purse/${id}`,
  encode: (event) => ({
    type: `test.purse.${event.$case}.v1`,
    schemaVersion: 1,
    data: Buffer.from(JSON.stringify(event)),
  }),
  decode: ({ data }) => JSON.parse(Buffer.from(data).toString()),
  upcast: (event) => event,
};

export const purse: Decider<Purse, PurseEvent> = {
  entity,
  initial: { balance: 0 },
  evolve(state, event, at) {
    switch (event.$case) {
      case 'opened':
        return { ...state, owner: event.value.owner, touched: at };
      case 'added':
        return { ...state, balance: state.balance + event.value.amount, touched: at };
      case 'taken':
        return { ...state, balance: state.balance - event.value.amount, touched: at };
    }
  },
  owner: (state) => state.owner,
};

type PurseCommand = Command<Purse, PurseEvent, Balance>;

interface Options extends Partial<PurseCommand> {
  /** Marks the command's events. */
  tag?: string;
  /** Makes it repeatable. */
  requestId?: string;
}

function command(
  id: string,
  content: unknown,
  { tag: _, requestId, ...others }: Options,
  decide: PurseCommand['decide'],
): PurseCommand {
  return {
    decider: purse,
    id,
    decide,
    reply: ({ state, version }) => ({ balance: state.balance, version }),
    replyCodec: {
      encode: (reply) => ({ finish: () => Buffer.from(JSON.stringify(reply)) }),
      decode: (data) => JSON.parse(Buffer.from(data).toString()),
    },
    commandId: requestId
      ? { key: derivedId('caller', requestId), hash: contentHash(Buffer.from(JSON.stringify([id, content]))) }
      : undefined,
    origin: { actor: 'caller', causationId: 'cause', correlationId: 'correlation', traceparent: '' },
    ...others,
  };
}

/** Opens the purse; refused if it is open. */
export function open(id: string, options: Options = {}): PurseCommand {
  return command(id, 'open', options, (state) => {
    if (state.owner) throw refused('PURSE_EXISTS', 'It is open.');
    return [{ $case: 'opened', value: { owner: 'anna' } }];
  });
}

/** Adds money, in one event or in `parts` events. */
export function add(id: string, amount: number, { parts = 1, ...options }: Options & { parts?: number } = {}) {
  const tag = options.tag ?? '';
  return command(id, ['add', amount], options, () =>
    Array.from({ length: parts }, () => ({ $case: 'added', value: { amount: amount / parts, tag } })),
  );
}

/** Takes money; refused if there is not enough. The refusal's metadata has the balance and the version. */
export function take(id: string, amount: number, options: Options = {}): PurseCommand {
  const tag = options.tag ?? '';
  return command(id, ['take', amount], options, (state, { version }) => {
    if (state.balance < amount)
      throw refused('PURSE_TOO_EMPTY', `There are ${state.balance}.`, {
        metadata: { balance: String(state.balance), version: String(version) },
      });
    return [{ $case: 'taken', value: { amount, tag } }];
  });
}

/** A command that changes nothing: it answers with the balance. */
export function look(id: string, options: Options = {}): PurseCommand {
  return command(id, 'look', options, () => []);
}

/** The tag of an event. */
export function tagOf(event: { data: Uint8Array }): string {
  return JSON.parse(Buffer.from(event.data).toString()).value.tag;
}

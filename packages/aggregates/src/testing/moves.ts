/** Units over purses: money moves from one to others. */
import { refused } from '@caudal/kernel/errors.ts';
import { contentHash, derivedId } from '@caudal/kernel/ids.ts';
import type { Unit } from '../types.ts';
import { type Balance, type Purse, type PurseEvent, purse } from './purse.ts';

export type Move = Unit<Purse, PurseEvent, Balance[]>;

interface Options extends Partial<Move> {
  /** Marks its events. */
  tag?: string;
  /** Makes it repeatable. */
  requestId?: string;
}

/**
 * Gives `amount` to each purse but the first, which pays for it. Refused if it has too little; the refusal's metadata has its
 * balance and version.
 */
export function move(ids: string[], amount: number, { tag = '', requestId, ...others }: Options = {}): Move {
  return {
    parts: ids.map((id) => ({ decider: purse, id })),
    decide([from, ...to]) {
      const total = amount * to.length;
      const { balance } = from!.state;
      if (balance < total)
        throw refused('PURSE_TOO_EMPTY', `There are ${balance}.`, {
          metadata: { balance: String(balance), version: String(from!.version) },
        });
      const taken: PurseEvent = { $case: 'taken', value: { amount: total, tag } };
      return [[taken], ...to.map((): PurseEvent[] => [{ $case: 'added', value: { amount, tag } }])];
    },
    reply: (after) => after.map(({ state, version }) => ({ balance: state.balance, version })),
    replyCodec: {
      encode: (reply) => ({ finish: () => Buffer.from(JSON.stringify(reply)) }),
      decode: (data) => JSON.parse(Buffer.from(data).toString()),
    },
    commandId: requestId
      ? { key: derivedId('caller', requestId), hash: contentHash(Buffer.from(JSON.stringify([ids, amount]))) }
      : undefined,
    origin: { actor: 'caller', causationId: 'cause', correlationId: 'correlation', traceparent: '' },
    ...others,
  };
}

/** Delivers each sent transfer that has not arrived at once, or returns it, by a timer that is due at once. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { wallet } from '@caudal/contract/entities.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { TimedHandler } from '@caudal/sagas/saga-handler.ts';
import { createTimerPolicy } from '@caudal/sagas/timer-policy.ts';
import { deliverTransfer } from '../commands/deliver-transfer.ts';

export interface TransfersDependencies {
  aggregates: Aggregates;
  database: Database;
  clock: Clock;
  signal: AbortSignal;
}

export function transfers({ aggregates, database, clock, signal }: TransfersDependencies): TimedHandler {
  const deliver = deliverTransfer({ aggregates });
  return createTimerPolicy({
    name: 'transfers',
    parts: 4,
    entity: wallet,
    timers: {
      transferSent: ({ value }, { id, at }) => ({
        id: `${id}/${value.transferId}`,
        dueAt: value.delivered ? undefined : at,
      }),
      transferDelivered: ({ value }, { id }) => ({ id: `${id}/${value.transferId}`, dueAt: undefined }),
      transferReturned: ({ value }, { id }) => ({ id: `${id}/${value.transferId}`, dueAt: undefined }),
    },
    async fire(timer) {
      const [fromWalletId, transferId] = timer.split('/') as [string, string];
      const origin = { actor: 'service:payments', causationId: '', correlationId: transferId, traceparent: '' };
      await deliver({ fromWalletId, transferId, origin, signal });
      return undefined;
    },
    database,
    clock,
  });
}

/** Wallet transactions: every movement of money, a document each. */
import { wallet } from '@caudal/contract/entities.ts';
import { Transaction } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { on, type ProjectedEvent, type Projection } from '@caudal/projections/types.ts';
import type { WalletEvent } from '../domain/wallet.ts';

export const walletTransactions: Projection<Transaction> = {
  name: 'wallet-transactions',
  version: 1,
  kind: 'one-per-event',
  codec: Transaction,
  follows: [on<Transaction, WalletEvent>(wallet, { view: ({ id }) => id, evolve: (_, event) => transaction(event) })],
  keys: {
    wallet_id: { type: 'keyword', of: (view) => view.walletId },
    create_time: { type: 'timestamp', of: (view) => view.createTime },
  },
  indexes: [['wallet_id', 'create_time']],
};

/** Undefined if no money moved. */
function transaction({ id, eventId, at, event }: ProjectedEvent<WalletEvent>): Transaction | undefined {
  const moved = movement(event);
  if (!moved || !('balance' in event.value)) return undefined;
  const { balance, currency } = event.value;
  return {
    transactionId: eventId,
    walletId: id,
    kind: moved.kind,
    amount: { minorUnits: moved.amount, currency },
    reference: moved.reference,
    balance: { minorUnits: balance, currency },
    createTime: at,
    note: moved.note ?? '',
  };
}

/** What moved; below zero when it left. */
function movement(event: WalletEvent): { kind: string; amount: bigint; reference: string; note?: string } | undefined {
  switch (event.$case) {
    case 'deposited':
      return { kind: 'deposit', amount: event.value.amount, reference: event.value.reference };
    case 'withdrawn':
      return { kind: 'withdrawal', amount: -event.value.amount, reference: event.value.reference };
    case 'debited':
      return { kind: 'payment', amount: -event.value.amount, reference: event.value.paymentId };
    case 'credited':
      return { kind: 'refund', amount: event.value.amount, reference: event.value.paymentId };
    case 'transferSent': {
      const { amount, transferId, reference } = event.value;
      return { kind: 'transfer_out', amount: -amount, reference: transferId, note: reference };
    }
    case 'transferReceived': {
      const { amount, transferId, reference } = event.value;
      return { kind: 'transfer_in', amount, reference: transferId, note: reference };
    }
    case 'transferReturned':
      return { kind: 'transfer_back', amount: event.value.amount, reference: event.value.transferId };
    default:
      return undefined;
  }
}

/** Wallet transactions: one document per movement of money. */
import { wallet } from '@caudal/contract/entities.ts';
import { Transaction } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { ignored, ignoreUnknown, on, type ProjectedEvent, type Projection } from '@caudal/projections/types.ts';
import type { WalletEvent } from '../domain/wallet.ts';

export const walletTransactions: Projection<Transaction> = {
  name: 'wallet-transactions',
  version: 2,
  parts: 8,
  kind: 'one-per-event',
  codec: Transaction,
  follows: [on<Transaction, WalletEvent>(wallet, { view: ({ id }) => id, evolve: (_, event) => transaction(event) })],
  keys: {
    wallet_id: { type: 'keyword', of: (view) => view.walletId },
    sequence: { type: 'long', of: (view) => view.sequence },
  },
  indexes: [['wallet_id', 'sequence']],
};

/** Ignored if no money moved. */
function transaction({ id, version, eventId, at, event }: ProjectedEvent<WalletEvent>): Transaction | typeof ignored {
  const moved = movement(event);
  if (moved === ignored) return ignored;
  const { kind, amount, reference, note = '', after } = moved;
  return {
    transactionId: eventId,
    walletId: id,
    kind,
    amount: { minorUnits: amount, currency: after.currency },
    reference,
    balance: { minorUnits: after.balance, currency: after.currency },
    createTime: at,
    note,
    sequence: BigInt(version),
  };
}

interface Movement {
  kind: string;
  /** Below zero if the money left the wallet. */
  amount: bigint;
  reference: string;
  note?: string;
  after: { balance: bigint; currency: string };
}

function movement({ $case, value }: WalletEvent): Movement | typeof ignored {
  switch ($case) {
    case 'deposited':
      return { kind: 'deposit', amount: value.amount, reference: value.reference, after: value };
    case 'withdrawn':
      return { kind: 'withdrawal', amount: -value.amount, reference: value.reference, after: value };
    case 'debited':
      return { kind: 'payment', amount: -value.amount, reference: value.paymentId, after: value };
    case 'credited':
      return { kind: 'refund', amount: value.amount, reference: value.paymentId, after: value };
    case 'transferSent': {
      const { amount, transferId, reference } = value;
      return { kind: 'transfer_out', amount: -amount, reference: transferId, note: reference, after: value };
    }
    case 'transferReceived': {
      const { amount, transferId, reference } = value;
      return { kind: 'transfer_in', amount, reference: transferId, note: reference, after: value };
    }
    case 'transferReturned':
      return { kind: 'transfer_back', amount: value.amount, reference: value.transferId, after: value };
    case 'created':
    case 'debitRefused':
    case 'debitBarred':
    case 'transferDelivered':
    case 'transferRefused':
    case 'frozen':
    case 'unfrozen':
      return ignored;
    default:
      return ignoreUnknown($case);
  }
}

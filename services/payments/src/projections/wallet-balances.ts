/** Wallet balances: the present state of every wallet. */
import { wallet } from '@caudal/contract/entities.ts';
import { Wallet } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { ignored, ignoreUnknown, on, type Projection } from '@caudal/projections/types.ts';
import type { WalletEvent } from '../domain/wallet.ts';

const blank = Wallet.fromPartial({});

export const walletBalances: Projection<Wallet> = {
  name: 'wallet-balances',
  version: 2,
  parts: 8,
  codec: Wallet,
  follows: [
    on<Wallet, WalletEvent>(wallet, {
      view: ({ id }) => id,
      evolve(view = blank, { event, at }) {
        const changed = change(event, at);
        return changed === ignored ? ignored : { ...view, ...changed, updateTime: at };
      },
    }),
  ],
  keys: {
    customer_id: { type: 'keyword', of: (view) => view.customerId },
    balance: { type: 'long', summable: true, of: (view) => view.balance?.minorUnits },
    currency: { type: 'keyword', of: (view) => view.balance?.currency },
  },
  indexes: [
    ['currency', 'balance'],
    ['customer_id', 'currency', 'balance'],
  ],
};

/** The fields that the event changes. */
function change(event: WalletEvent, at: Date): Partial<Wallet> | typeof ignored {
  switch (event.$case) {
    case 'created': {
      const { walletId, customerId, currency } = event.value;
      return { walletId, customerId, balance: { minorUnits: 0n, currency }, createTime: at };
    }
    case 'frozen':
      return { frozen: true };
    case 'unfrozen':
      return { frozen: false };
    case 'debitRefused':
    case 'debitBarred':
    case 'transferRefused':
    case 'transferDelivered':
      return {};
    case 'deposited':
    case 'withdrawn':
    case 'debited':
    case 'credited':
    case 'transferSent':
    case 'transferReceived':
    case 'transferReturned':
      return { balance: { minorUnits: event.value.balance, currency: event.value.currency } };
    default:
      return ignoreUnknown(event);
  }
}

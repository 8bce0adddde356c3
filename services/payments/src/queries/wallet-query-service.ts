/** Reads wallets: caudal.payments.v1.WalletQueryService. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { viewEtag } from '@caudal/context/etag.ts';
import { moneySum } from '@caudal/context/money-sum.ts';
import { type ListOrders, listOrder } from '@caudal/context/order-by.ts';
import { pageLimit } from '@caudal/context/page-limit.ts';
import type { ViewReader } from '@caudal/context/view-reader.ts';
import { wallet } from '@caudal/contract/entities.ts';
import {
  type ListWalletsRequest,
  type Transaction,
  type Wallet,
  WalletQueryServiceService,
} from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { invalidField, notFound } from '@caudal/kernel/errors.ts';
import { defineAggregate } from '@caudal/projections/queries/aggregate.ts';
import type { Condition, StoredView } from '@caudal/projections/types.ts';
import { type Call, service } from '@caudal/rpc/types.ts';
import { walletDecider } from '../domain/wallet.ts';
import { walletBalances } from '../projections/wallet-balances.ts';
import { walletMessage } from '../wallet-message.ts';

const byCurrency = defineAggregate(walletBalances, {
  groupBy: ['currency'],
  compute: { wallets: 'count', total: { sum: 'balance' }, highest: { max: 'balance' } },
});
const mostCurrencies = 1_000;

/** Several transactions may have one time: only their places in the stream order them. */
const transactionOrders: ListOrders = {
  'create_time desc': [{ key: 'sequence', descending: true }],
  create_time: [{ key: 'sequence' }],
};

/** The ids stand still; balances do not. Amounts of two currencies can't be compared, so these are sorted first. */
const orders: ListOrders = {
  wallet_id: [],
  balance: [{ key: 'currency' }, { key: 'balance' }],
  'balance desc': [
    { key: 'currency', descending: true },
    { key: 'balance', descending: true },
  ],
};

export interface WalletQueryDependencies {
  wallets: ViewReader<Wallet>;
  transactions: ViewReader<Transaction>;
  /** The past is read from the log. */
  aggregates: Pick<Aggregates, 'load' | 'loadAt'>;
}

export function walletQueryService({ wallets, transactions, aggregates }: WalletQueryDependencies) {
  return service(WalletQueryServiceService, {
    getWallet: ({ walletId, atTime }, call) => (atTime ? past(walletId, atTime, call) : present(walletId, call)),

    async listWallets(request, call) {
      const page = await wallets.find(
        {
          where: conditions(request),
          ...listOrder(request.orderBy, orders),
          limit: pageLimit(request.pageSize),
          pageToken: request.pageToken,
        },
        call,
      );
      return { wallets: page.views.map(message), nextPageToken: page.nextPageToken };
    },

    async summarizeWallets(request, call) {
      const query = { ...byCurrency, where: conditions(request), limit: mostCurrencies };
      const { rows, more } = await wallets.aggregate(query, call);
      const groups = rows.map(({ group, values }) => {
        const currency = String(group.currency ?? '');
        return {
          currency,
          walletCount: BigInt(values.wallets),
          totalBalance: moneySum(values.total, currency),
          highestBalance: moneySum(values.highest as bigint, currency),
        };
      });
      return { groups, more };
    },

    async listTransactions({ walletId, orderBy, pageSize, pageToken }, call) {
      await present(walletId, call);
      const page = await transactions.find(
        {
          where: [{ key: 'wallet_id', equals: walletId }, { key: 'sequence' }],
          ...listOrder(orderBy, transactionOrders),
          limit: pageLimit(pageSize),
          pageToken,
        },
        call,
      );
      return { transactions: page.views.map(({ view }) => view), nextPageToken: page.nextPageToken };
    },
  });

  /** The wallet's present state. Refused without permission for it. */
  async function present(walletId: string, call: Call): Promise<Wallet> {
    const stored = await wallets.get(walletId, call);
    if (!stored) throw notFound('wallet', walletId);
    call.authorize(stored.view.customerId);
    return message(stored);
  }

  /** The wallet's state at that time. Refused without permission for it, before a history is read that may be long. */
  async function past(walletId: string, at: Date, call: Call): Promise<Wallet> {
    call.authorize(walletDecider.owner!((await aggregates.load(walletDecider, walletId)).state));
    const { state, version } = await aggregates.loadAt(walletDecider, walletId, at);
    if (version === 0) throw notFound('wallet', walletId);
    return walletMessage(state, version);
  }
}

/** Refused: INVALID_ARGUMENT, if a balance is given without its currency. */
function conditions({
  customerId,
  currency,
  minBalance,
}: Pick<ListWalletsRequest, 'customerId' | 'currency' | 'minBalance'>): Condition[] {
  const where: Condition[] = [];
  if (customerId) where.push({ key: 'customer_id', equals: customerId });
  if (currency) where.push({ key: 'currency', equals: currency });
  if (minBalance !== undefined) {
    if (!currency)
      throw invalidField('currency', 'must be set together with min_balance: it is the currency of that amount');
    where.push({ key: 'balance', atLeast: minBalance });
  }
  return where;
}

function message(stored: StoredView<Wallet>): Wallet {
  return { ...stored.view, etag: viewEtag(stored, wallet.stream(stored.id)) };
}

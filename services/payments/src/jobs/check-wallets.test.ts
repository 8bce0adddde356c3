/** The nightly comparison of wallets, on a real log and real views. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type { WalletServiceService } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { freshLog } from '@caudal/eventlog/testing/log.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { ensureBuilt } from '@caudal/projections/generations/rebuild.ts';
import { openViews } from '@caudal/projections/queries/views.ts';
import { openPostgresStore } from '@caudal/projections/stores/postgres-store.ts';
import type { Projection } from '@caudal/projections/types.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { walletService } from '../commands/wallet-service.ts';
import { walletBalances } from '../projections/wallet-balances.ts';
import { customersBut } from '../testing/customers.ts';
import { checkWallets } from './check-wallets.ts';

const currency = 'GBP';

describeWith(['postgres'], 'check-wallets', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  let wallets: Handlers<WalletServiceService>;
  let run: (now?: Date) => Promise<void>;

  beforeAll(async () => {
    fresh = await freshLog('payments');
    const { log, database } = fresh;
    const aggregates = openAggregates({ log, clock: () => new Date(), ids: newId });
    wallets = walletService({ aggregates, ids: newId, customers: customersBut(), shareLog: () => true })
      .handlers as unknown as Handlers<WalletServiceService>;
    for (let n = 0; n < 40; n++) {
      const walletId = `w${n}`;
      await wallets.createWallet({ requestId: '', walletId, customerId: `c${n}`, currency }, testCall());
      await wallets.deposit(
        { requestId: '', walletId, amount: { minorUnits: BigInt(n + 1), currency }, reference: '' },
        testCall(),
      );
    }
    const store = openPostgresStore({ database });
    await ensureBuilt({
      ...{ projection: walletBalances, store, logs: new Map([['payments', log]]) },
      ...{ bind: async () => {}, filled: async () => {}, release: async () => {} },
    });
    const views = <V>(projection: Projection<V>) => openViews({ projection, store });
    run = (now = new Date()) =>
      checkWallets.run({ aggregates, log, views } as never, { signal: new AbortController().signal, token: 1, now });
  }, 60_000);
  afterAll(() => fresh.drop());

  const change = (sql: string) => fresh.database.query({ text: `UPDATE "wallet-balances.v2.1" SET ${sql}` });
  const later = new Date(Date.now() + 3_600_000);

  test('finds nothing if views agree with the log', async () => {
    await expect(run()).resolves.toBeUndefined();
    await expect(run(later)).resolves.toBeUndefined();
  });

  test('accepts a view that lags for up to ten minutes', async () => {
    await wallets.deposit(
      { requestId: '', walletId: 'w39', amount: { minorUnits: 5n, currency }, reference: '' },
      testCall(),
    );
    await expect(run()).resolves.toBeUndefined();
    await expect(run(later)).rejects.toThrow(/^1 of \d+ wallets differ from the log: w39\. "caudal verify/);
  });

  test('finds balances that differ, names ten of them, and names the commands that repair them', async () => {
    await change(`view = jsonb_set(view::jsonb, '{balance,minorUnits}', '"999"')`);
    await expect(run()).rejects.toThrow(
      /\d+ of \d+ wallets differ from the log: (w\d+, ){9}w\d+ and \d+ more\. .*rebuild/,
    );
  });
});

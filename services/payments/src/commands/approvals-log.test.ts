/** On PostgreSQL: a process that asks for a second person, and one that does not yet, share a log. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type { ApprovalServiceService } from '@caudal/contract/gen/caudal/payments/v1/approvals.ts';
import type { WalletServiceService } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { freshLog } from '@caudal/eventlog/testing/log.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { walletDecider } from '../domain/wallet.ts';
import { customersBut } from '../testing/customers.ts';
import { approvalService } from './approval-service.ts';
import { fourEyes } from './four-eyes.ts';
import { walletService } from './wallet-service.ts';

const gbp = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });

describeWith(['postgres'], 'approvals in one log', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  beforeAll(async () => {
    fresh = await freshLog('payments');
  }, 60_000);
  afterAll(() => fresh.drop());

  function process(needed: string[]) {
    const aggregates = openAggregates({ log: fresh.open().log, clock: systemClock, ids: newId });
    const eyes = fourEyes({ aggregates, ids: newId, clock: systemClock, needed, waitMs: 3_600_000 });
    const wallets = walletService({ aggregates, ids: newId, customers: customersBut(), shareLog: () => true, eyes });
    const approvals = approvalService({ aggregates, ids: newId, clock: systemClock });
    return {
      aggregates,
      wallets: wallets.handlers as unknown as Handlers<WalletServiceService>,
      approvals: approvals.handlers as unknown as Handlers<ApprovalServiceService>,
    };
  }

  test('a deposit whose calls and grant reach both is done once', async () => {
    const [asking, former] = [process(['deposits']), process([])];
    await former.wallets.createWallet({ requestId: '', walletId: 'w1', customerId: 'c1', currency: 'GBP' }, testCall());
    const deposit = (at: typeof asking, requestId: string) =>
      at.wallets.deposit(
        { requestId, walletId: 'w1', amount: gbp(50n), reference: '' },
        testCall({ requestId, subject: 'ada' }),
      );
    const pending = async (requestId: string) => {
      const error = await deposit(asking, requestId).catch((thrown: CaudalError) => thrown);
      return (error as CaudalError).metadata.approval!;
    };
    const grant = (approvalId: string, requestId = newId()) =>
      asking.approvals.grantApproval({ requestId, approvalId }, testCall({ requestId, subject: 'bob' }));
    const balance = async () => (await asking.aggregates.load(walletDecider, 'w1')).state.balance;

    // Done where nobody is asked, repeated where somebody is.
    const first = newId();
    const done = await deposit(former, first);
    expect(await deposit(asking, first)).toEqual(done);
    // Granted, repeated where nobody is asked; and the grant is repeated.
    const [second, key] = [newId(), newId()];
    const approval = await pending(second);
    const granted = await grant(approval, key);
    expect(await grant(approval, key)).toEqual(granted);
    expect(await deposit(former, second)).toMatchObject({ balance: gbp(100n) });
    // Asked for, and then done where nobody is asked.
    const third = newId();
    const waiting = await pending(third);
    await deposit(former, third);
    expect(await refusalOf(grant(waiting))).toMatchObject({ reason: 'APPROVAL_ENDED' });
    expect(await balance()).toBe(150n);
    // At the same time.
    for (let n = 1; n <= 10; n++) {
      const requestId = newId();
      const id = await pending(requestId);
      await Promise.allSettled([grant(id), deposit(former, requestId), grant(id)]);
      expect(await balance()).toBe(150n + 50n * BigInt(n));
    }
  });
});

/** Acts that need a second person: asked for, granted once, rejected, expired. docs/approvals.md */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { approval } from '@caudal/contract/entities.ts';
import {
  type Approval,
  type ApprovalQueryServiceService,
  type ApprovalServiceService,
  ApprovalStatus,
  ListApprovalsRequest,
} from '@caudal/contract/gen/caudal/payments/v1/approvals.ts';
import { type PaymentServiceService, PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import type { WalletServiceService } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { viewsOf } from '@caudal/testing/interleavings.ts';
import { type MemoryLog, memoryLog } from '@caudal/testing/memory-log.ts';
import { fixedViews } from '@caudal/testing/view-readers.ts';
import { beforeEach, describe, expect, test } from '@jest/globals';
import type { ApprovalEvent } from '../domain/approval.ts';
import { paymentDecider } from '../domain/payment.ts';
import { walletDecider } from '../domain/wallet.ts';
import { approvals as approvalViews } from '../projections/approvals.ts';
import { approvalQueryService } from '../queries/approval-query-service.ts';
import { customersBut } from '../testing/customers.ts';
import { approvalService } from './approval-service.ts';
import { fourEyes, fourEyesActs } from './four-eyes.ts';
import { paymentService } from './payment-service.ts';
import { walletService } from './wallet-service.ts';

const gbp = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });
const hour = 3_600_000;
let now: Date;
let views: ReturnType<typeof fixedViews<Approval>>;
let aggregates: ReturnType<typeof openAggregates>;
let log: MemoryLog;
let wallets: Handlers<WalletServiceService>;
let payments: Handlers<PaymentServiceService>;
let approvals: Handlers<ApprovalServiceService>;
let queries: Handlers<ApprovalQueryServiceService>;

function open(needed: string[]): void {
  const clock = () => now;
  const eyes = fourEyes({ aggregates, ids: newId, clock, needed, waitMs: hour });
  wallets = walletService({ aggregates, ids: newId, customers: customersBut(), shareLog: () => true, eyes })
    .handlers as never;
  payments = paymentService({ aggregates, ids: newId, eyes }).handlers as never;
  approvals = approvalService({ aggregates, ids: newId, clock }).handlers as never;
  queries = approvalQueryService({ aggregates, views, clock }).handlers as never;
}

beforeEach(async () => {
  now = new Date('2026-01-01T00:00:00Z');
  views = fixedViews<Approval>({});
  const clock = () => now;
  log = memoryLog({ domain: 'payments', clock });
  aggregates = openAggregates({ log, clock, ids: newId });
  open([]);
  await wallets.createWallet({ requestId: '', walletId: 'w1', customerId: 'c1', currency: 'GBP' }, testCall());
  await wallets.deposit({ requestId: '', walletId: 'w1', amount: gbp(100n), reference: '' }, testCall());
  open([...fourEyesActs]);
});

const balance = async () => (await aggregates.load(walletDecider, 'w1')).state.balance;
const deposit = (subject: string, requestId = newId(), amount = 50n) =>
  wallets.deposit(
    { requestId, walletId: 'w1', amount: gbp(amount), reference: 'cash' },
    testCall({ requestId, subject }),
  );
/** The approval that a call was told to wait for. */
async function pendingOf(call: Promise<unknown>): Promise<string> {
  const error = (await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )) as CaudalError;
  expect([error?.code, error?.reason]).toEqual(['FAILED_PRECONDITION', 'APPROVAL_PENDING']);
  return error.metadata.approval!;
}
const grant = (approvalId: string, subject: string, requestId = newId()) =>
  approvals.grantApproval({ requestId, approvalId }, testCall({ requestId, subject }));
const get = (approvalId: string) => queries.getApproval({ approvalId, readMask: undefined }, testCall());

describe('a deposit', () => {
  test('waits, and is done once when another caller grants it', async () => {
    const id = await pendingOf(deposit('ada'));
    expect(await balance()).toBe(100n);
    expect(await get(id)).toMatchObject({
      ...{ status: ApprovalStatus.APPROVAL_STATUS_PENDING, walletId: 'w1', amount: gbp(50n), note: 'cash' },
      ...{ requestedBy: 'ada', decidedBy: '', expireTime: new Date(now.getTime() + hour) },
    });
    const call = testCall({ subject: 'bob' });
    const granted = await approvals.grantApproval({ requestId: '', approvalId: id }, call);
    expect(granted).toMatchObject({ status: ApprovalStatus.APPROVAL_STATUS_GRANTED, decidedBy: 'bob' });
    expect(call.written.map(({ stream }) => stream)).toEqual([`payments.approval/${id}`, 'payments.wallet/w1']);
    expect(await balance()).toBe(150n);
    for (const subject of ['bob', 'eve'])
      expect(await refusalOf(grant(id, subject))).toEqual({ code: 'FAILED_PRECONDITION', reason: 'APPROVAL_ENDED' });
    expect(await balance()).toBe(150n);
  });

  test('is never granted by who has asked for it', async () => {
    const id = await pendingOf(deposit('ada'));
    expect(await refusalOf(grant(id, 'ada'))).toEqual({ code: 'PERMISSION_DENIED', reason: 'APPROVER_IS_REQUESTER' });
    expect(await balance()).toBe(100n);
  });

  test('asked for twice with one request_id is one approval; with other content it is refused; then it gets the answer of the deposit', async () => {
    const requestId = newId();
    const id = await pendingOf(deposit('ada', requestId));
    expect(await pendingOf(deposit('ada', requestId))).toBe(id);
    expect(await refusalOf(deposit('ada', requestId, 60n))).toMatchObject({ reason: 'REQUEST_ID_REUSED' });
    await grant(id, 'bob');
    expect(await deposit('ada', requestId)).toMatchObject({ balance: gbp(150n) });
    expect(await balance()).toBe(150n);
  });

  test('done where no second person was needed, and repeated where one is, is done once', async () => {
    const requestId = newId();
    open([]);
    const first = await deposit('ada', requestId);
    open([...fourEyesActs]);
    expect(await deposit('ada', requestId)).toEqual(first);
    expect(await balance()).toBe(150n);
  });

  test('asked for where a second person is needed, and repeated where none is, is done once, and can not be granted', async () => {
    const requestId = newId();
    const id = await pendingOf(deposit('ada', requestId));
    open([]);
    const done = await deposit('ada', requestId);
    open([...fourEyesActs]);
    expect(await refusalOf(grant(id, 'bob'))).toEqual({ code: 'FAILED_PRECONDITION', reason: 'APPROVAL_ENDED' });
    expect(await deposit('ada', requestId)).toEqual(done);
    expect(await balance()).toBe(150n);
  });

  test('granted, and repeated where no second person is needed, is done once', async () => {
    const requestId = newId();
    await grant(await pendingOf(deposit('ada', requestId)), 'bob');
    open([]);
    expect(await deposit('ada', requestId)).toMatchObject({ balance: gbp(150n) });
    expect(await balance()).toBe(150n);
  });

  test('granted while it is done elsewhere is done once', async () => {
    for (let n = 0; n < 20; n++) {
      const requestId = newId();
      const id = await pendingOf(deposit('ada', requestId));
      const before = await balance();
      open([]);
      const outcomes = await Promise.allSettled([grant(id, 'bob'), deposit('ada', requestId)]);
      open([...fourEyesActs]);
      expect(outcomes[1].status).toBe('fulfilled');
      expect(await balance()).toBe(before + 50n);
    }
  });

  test('is neither asked for nor granted by an API key', async () => {
    const asKey = (subject: string, requestId = newId()) => ({
      ...testCall({ requestId, subject }),
      caller: { subject, permissions: new Set<string>(), kind: 'key' as const },
    });
    const request = { requestId: '', walletId: 'w1', amount: gbp(50n), reference: '' };
    const refusal = { code: 'PERMISSION_DENIED', reason: 'APPROVAL_NEEDS_TOKEN' };
    // ada has made a key for "till-3": she asks with one of both, and grants with the other.
    expect(await refusalOf(wallets.deposit(request, asKey('till-3')))).toEqual(refusal);
    const id = await pendingOf(deposit('ada'));
    expect(await refusalOf(approvals.grantApproval({ requestId: '', approvalId: id }, asKey('till-3')))).toEqual(
      refusal,
    );
    expect(await balance()).toBe(100n);
  });

  test('granted by many at once is done once', async () => {
    const id = await pendingOf(deposit('ada'));
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => grant(id, `approver-${n}`)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await balance()).toBe(150n);
  });

  test('a repeat of the grant with one request_id gets the first answer', async () => {
    const id = await pendingOf(deposit('ada'));
    const requestId = newId();
    const first = await grant(id, 'bob', requestId);
    expect(await grant(id, 'bob', requestId)).toEqual(first);
    expect(await balance()).toBe(150n);
  });

  test('granted and rejected at once is one of both', async () => {
    const id = await pendingOf(deposit('ada'));
    const reject = approvals.rejectApproval(
      { requestId: '', approvalId: id, reason: 'no' },
      testCall({ subject: 'eve' }),
    );
    const [granted, rejected] = await Promise.allSettled([grant(id, 'bob'), reject]);
    expect([granted.status, rejected.status].toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(await balance()).toBe(granted.status === 'fulfilled' ? 150n : 100n);
  });

  test('that was rejected, also by its requester, is not done', async () => {
    const id = await pendingOf(deposit('ada'));
    const rejected = await approvals.rejectApproval(
      { requestId: '', approvalId: id, reason: 'a mistake' },
      testCall({ subject: 'ada' }),
    );
    expect(rejected).toMatchObject({ status: ApprovalStatus.APPROVAL_STATUS_REJECTED, reason: 'a mistake' });
    expect(await refusalOf(grant(id, 'bob'))).toMatchObject({ reason: 'APPROVAL_ENDED' });
    expect(await balance()).toBe(100n);
  });

  test('that nobody has granted in time is not done', async () => {
    const id = await pendingOf(deposit('ada'));
    now = new Date(now.getTime() + hour);
    expect(await get(id)).toMatchObject({ status: ApprovalStatus.APPROVAL_STATUS_EXPIRED });
    expect(await refusalOf(grant(id, 'bob'))).toMatchObject({ reason: 'APPROVAL_ENDED' });
    expect(await balance()).toBe(100n);
  });

  test('that is refused when it is granted changes nothing, and goes on waiting', async () => {
    const requestId = newId();
    const id = await pendingOf(
      wallets.deposit(
        { requestId, walletId: 'nowhere', amount: gbp(50n), reference: '' },
        testCall({ requestId, subject: 'ada' }),
      ),
    );
    expect(await refusalOf(grant(id, 'bob'))).toMatchObject({ code: 'NOT_FOUND' });
    expect(await get(id)).toMatchObject({ status: ApprovalStatus.APPROVAL_STATUS_PENDING });
  });

  test('of an approval that there is not is refused', async () => {
    expect(await refusalOf(grant('none', 'bob'))).toEqual({ code: 'NOT_FOUND', reason: 'APPROVAL_NOT_FOUND' });
    expect(await refusalOf(get('none'))).toMatchObject({ code: 'NOT_FOUND' });
  });
});

test('without the setting nothing waits', async () => {
  open(['refunds']);
  await deposit('ada');
  expect(await balance()).toBe(150n);
});

test('a refund by hand waits, and is one when it is granted', async () => {
  const method = { $case: 'walletId', value: 'w1' } as const;
  await payments.createPayment(
    { requestId: '', paymentId: 'p1', orderId: 'o1', customerId: 'c1', amount: gbp(40n), method },
    testCall(),
  );
  const id = await pendingOf(
    payments.refundPayment(
      { requestId: '', paymentId: 'p1', amount: gbp(10n), reason: 'gift' },
      testCall({ subject: 'ada' }),
    ),
  );
  const refunds = async () => (await aggregates.load(paymentDecider, 'p1')).state.refunds;
  expect(await refunds()).toHaveLength(0);
  await grant(id, 'bob');
  expect(await refunds()).toHaveLength(1);
  // What sagas do for orders needs no second person.
  const created = await payments.createRefund(
    { requestId: '', paymentId: 'p1', refundId: 'r2', amount: gbp(5n), reason: 'return' },
    testCall(),
  );
  expect(created.status).toBe(PaymentStatus.PAYMENT_STATUS_SUCCEEDED);
});

test('a settlement waits; granted for a payment that needs none it is refused', async () => {
  const id = await pendingOf(
    payments.settlePayment(
      { requestId: '', paymentId: 'p1', refundId: '', note: 'by bank' },
      testCall({ subject: 'ada' }),
    ),
  );
  expect(await refusalOf(grant(id, 'bob'))).toMatchObject({ code: 'NOT_FOUND' });
});

test.each(['done at once and repeated where it waits', 'granted and repeated where it does not wait'])(
  'a refund that is %s is one',
  async (how) => {
    const method = { $case: 'walletId', value: 'w1' } as const;
    const paid = { requestId: '', paymentId: 'p1', orderId: 'o1', customerId: 'c1', amount: gbp(40n), method };
    await payments.createPayment(paid, testCall());
    const requestId = newId();
    const refund = () =>
      payments.refundPayment(
        { requestId, paymentId: 'p1', amount: gbp(10n), reason: 'gift' },
        testCall({ requestId, subject: 'ada' }),
      );
    if (how.startsWith('granted')) {
      await grant(await pendingOf(refund()), 'bob');
      open([]);
    } else {
      open([]);
      await refund();
      open([...fourEyesActs]);
    }
    expect(await refund()).toMatchObject({ refunds: [{ amount: gbp(10n) }] });
    expect((await aggregates.load(paymentDecider, 'p1')).state.refunds).toHaveLength(1);
  },
);

describe('a transfer or withdrawal', () => {
  const balanceOf = async (id: string) => (await aggregates.load(walletDecider, id)).state.balance;
  /** By a caller that may use all wallets. */
  const byStaff = (subject: string) => {
    const requestId = newId();
    return { ...testCall({ requestId, subject }), authorize: () => {} };
  };
  const move = { requestId: '', walletId: 'w1', amount: gbp(30n), reference: 'moved' };
  const transfer = { ...move, toWalletId: 'w2' };

  beforeEach(() =>
    wallets.createWallet({ requestId: '', walletId: 'w2', customerId: 'ada', currency: 'GBP' }, testCall()),
  );

  test("from another's wallet waits, and is done once when it is granted", async () => {
    const call = byStaff('ada');
    const id = await pendingOf(wallets.transfer(transfer, call));
    expect(await get(id)).toMatchObject({ walletId: 'w1', toWalletId: 'w2', amount: gbp(30n), note: 'moved' });
    expect(await refusalOf(grant(id, 'ada'))).toMatchObject({ reason: 'APPROVER_IS_REQUESTER' });
    await grant(id, 'bob');
    expect([await balanceOf('w1'), await balanceOf('w2')]).toEqual([70n, 30n]);
    expect(await wallets.transfer(transfer, call)).toMatchObject({ walletId: 'w1', balance: gbp(70n) });
    const taken = await pendingOf(wallets.withdraw(move, byStaff('ada')));
    await grant(taken, 'bob');
    expect([await balanceOf('w1'), await balanceOf('w2')]).toEqual([40n, 30n]);
  });

  test("from the caller's own wallet does not wait", async () => {
    for (const call of [testCall({ requestId: newId(), subject: 'c1' }), byStaff('c1')])
      await wallets.transfer({ ...transfer, amount: gbp(10n) }, call);
    await wallets.withdraw(move, testCall({ subject: 'c1' }));
    expect([await balanceOf('w1'), await balanceOf('w2')]).toEqual([50n, 20n]);
  });

  test('that is done where no second person is needed, and repeated where one is, is done once', async () => {
    const call = byStaff('ada');
    open([]);
    await wallets.transfer(transfer, call);
    open([...fourEyesActs]);
    await wallets.transfer(transfer, call);
    expect([await balanceOf('w1'), await balanceOf('w2')]).toEqual([70n, 30n]);
  });
});

describe('the list', () => {
  const list = (request: Partial<ListApprovalsRequest>) =>
    queries.listApprovals(ListApprovalsRequest.fromPartial(request), testCall());
  const { APPROVAL_STATUS_PENDING: pending, APPROVAL_STATUS_EXPIRED: expired } = ApprovalStatus;

  test('has what waits, what ends first at the top, as of the first page; what has ended since shows it', async () => {
    const view = (approvalId: string, minutes: number) =>
      ({ approvalId, status: pending, expireTime: new Date(now.getTime() + minutes * 60_000) }) as Approval;
    views = fixedViews({ a: view('a', 10), b: view('b', 20) }, 'behind-b');
    open([]);
    const first = await list({ pageSize: 2 });
    expect(first.approvals.map(({ approvalId, status }) => [approvalId, status])).toEqual([
      ['a', pending],
      ['b', pending],
    ]);
    const asked = [
      { key: 'status', equals: '1' },
      { key: 'expire_time', atLeast: new Date(now.getTime() + 1) },
    ];
    const { pageToken: _, ...query } = views.asked[0]!;
    expect(query).toMatchObject({ where: asked, orderBy: [{ key: 'expire_time' }], limit: 2 });
    now = new Date(now.getTime() + 15 * 60_000);
    const second = await list({ pageSize: 2, pageToken: first.nextPageToken });
    expect(views.asked[1]).toEqual({ ...query, pageToken: 'behind-b' });
    expect(second.approvals.map(({ status }) => status)).toEqual([expired, pending]);
  });

  test('has those of another status, and refuses a token of it', async () => {
    views = fixedViews<Approval>({}, 'more');
    open([]);
    const { nextPageToken } = await list({ status: expired });
    expect(views.asked[0]!.where).toEqual([
      { key: 'status', equals: '1' },
      { key: 'expire_time', atMost: now },
    ]);
    await list({ status: ApprovalStatus.APPROVAL_STATUS_GRANTED });
    expect(views.asked[1]!.where).toEqual([{ key: 'status', equals: '2' }]);
    expect(await refusalOf(list({ pageToken: nextPageToken }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test('has the views that the events of an approval make', async () => {
    const id = await pendingOf(deposit('ada'));
    const rejected = await pendingOf(deposit('ada'));
    await grant(id, 'bob');
    await approvals.rejectApproval({ requestId: '', approvalId: rejected, reason: 'no' }, testCall({ subject: 'bob' }));
    for (const approvalId of [id, rejected]) {
      const events = log.events.filter(({ stream }) => stream === approval.stream(approvalId));
      const decoded = events.map((event) => approval.decode(event) as ApprovalEvent);
      const made = viewsOf(approvalViews, [{ stream: approval.stream(approvalId), from: now, events: decoded }]);
      expect(made.get(approvalId)).toEqual({ ...(await get(approvalId)), createTime: now });
    }
  });
});

test("a key whose secret another person got can't move its owner's money without a second person", async () => {
  const caller = { subject: 'c1', permissions: new Set(['payments.wallets.withdraw']), kind: 'key' as const };
  const withdraw = (keyMaker?: string) =>
    wallets.withdraw(
      { requestId: '', walletId: 'w1', amount: gbp(10n), reference: '' },
      Object.assign(testCall({ subject: 'c1' }), {
        caller: { ...caller, ...(keyMaker && { keyMaker }) },
        authorize: (owner?: string) => {
          if (owner !== 'c1') throw new CaudalError('PERMISSION_DENIED', 'NOT_OWNER', 'Not its own.');
        },
      }),
    );
  expect(await refusalOf(withdraw('clerk'))).toEqual({ code: 'PERMISSION_DENIED', reason: 'APPROVAL_NEEDS_TOKEN' });
  expect(await balance()).toBe(100n);
  await withdraw();
  expect(await balance()).toBe(90n);
});

test('an erased customer gets no other wallet; a repeat of the call that has made one gets its answer', async () => {
  const open = (customerId: string, walletId: string, erased: string[], requestId = '') =>
    (
      walletService({ aggregates, ids: newId, customers: customersBut(...erased), shareLog: () => true })
        .handlers as never as Handlers<WalletServiceService>
    ).createWallet({ requestId, walletId, customerId, currency: 'GBP' }, testCall({ ...(requestId && { requestId }) }));
  const requestId = newId();
  await open('c2', 'w2', [], requestId);
  expect(await refusalOf(open('c2', 'w3', ['c2']))).toEqual({ code: 'FAILED_PRECONDITION', reason: 'CUSTOMER_ERASED' });
  expect(await open('c2', 'w2', ['c2'], requestId)).toMatchObject({ walletId: 'w2' });
  await open('c3', 'w4', ['c2']);
});

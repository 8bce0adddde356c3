import { CaudalError } from '@caudal/kernel/errors.ts';
import { claimsInMemory } from '@caudal/testing/claims-in-memory.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type PaymentEvent,
  paymentDecider,
  refundPayment,
  requestPayment,
  retryPayment,
  undoPayment,
} from './payment.ts';
import { nextStep, type PaymentStep, type StepOutcome, settle } from './payment-steps.ts';
import { firstPending, paidBack } from './refunds.ts';
import { type WalletEvent, walletDecider } from './wallet.ts';
import { debit, debitOutcome, refundDebit, refundDebitPart, undoDebit } from './wallet-debits.ts';
import { deposit, openWallet, withdraw } from './wallet-decisions.ts';

/**
 * A payment, a wallet, a gateway, and two processes that run the payment independently. A process takes the payment's
 * next step, later runs it (the answer may be lost), later records the outcome (or crashes).
 */
const runtime = fc.nat(1);
const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('take' as const), runtime }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('do' as const),
      runtime,
      luck: fc.constantFrom('ok', 'lost', 'unreachable'),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('record' as const), runtime }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), runtime }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('undo' as const, 'retry' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('refund' as const), amount: fc.constantFrom(5n, 20n, 50n) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('deposit' as const, 'withdraw' as const) }) },
);
const scenario = fc.record({
  byWallet: fc.boolean(),
  /**
   * If the payment has changed since the step was taken: drop the outcome (true), or settle it in the present state.
   */
  strict: fc.boolean(),
  declines: fc.boolean(),
  actions: fc.array(action, { maxLength: 60, size: 'max' }),
});

const now = new Date('2026-01-01T00:00:00Z');
const amount = { minorUnits: 50n, currency: 'GBP' };

function world({ byWallet, strict, declines }: { byWallet: boolean; strict: boolean; declines: boolean }) {
  let payment = paymentDecider.initial;
  let version = 0;
  let wallet = walletDecider.initial;
  const gateway = {
    state: 'new' as 'new' | 'approved' | 'declined' | 'voided' | 'refunded',
    taken: 0n,
    givenBack: 0n,
    parts: new Map<string, bigint>(),
  };
  const partsGiven = () => [...gateway.parts.values()].reduce((sum, part) => sum + part, 0n);
  /** What the wallet has paid. */
  let debited = 0n;
  let refunds = 0;
  type Work = { step: PaymentStep; part: ReturnType<typeof firstPending>; version: number; outcome?: StepOutcome };
  const working: (Work | undefined)[] = [];
  const claims = claimsInMemory(walletDecider.claims);
  const context = () => claims.context(now, version);

  const append = (events: PaymentEvent[]) => {
    for (const event of events) payment = paymentDecider.evolve(payment, event, now);
    version += events.length;
  };
  const onWallet = (events: WalletEvent[]) => {
    for (const event of events) {
      wallet = walletDecider.evolve(wallet, event, now);
      claims.record(event, now);
      if (event.$case === 'debited') debited += event.value.amount;
      if (event.$case === 'credited') debited -= event.value.amount;
    }
  };

  const method = byWallet
    ? ({ $case: 'walletId', value: 'w1' } as const)
    : ({ $case: 'cardToken', value: 'tok' } as const);
  onWallet(openWallet(wallet, { walletId: 'w1', customerId: 'c1', currency: 'GBP' }));
  append(requestPayment(payment, context(), { paymentId: 'p1', orderId: 'o1', customerId: 'c1', amount, method }));

  const approves = () => gateway.state !== 'declined' && !(gateway.state === 'voided' && gateway.taken === 0n);
  function perform({ kind }: PaymentStep, part: ReturnType<typeof firstPending>): StepOutcome {
    switch (kind) {
      case 'debit': {
        onWallet(debit(wallet, context(), { walletId: 'w1', paymentId: 'p1', customerId: 'c1', amount }));
        const reason = debitOutcome(context().claim('p1'));
        return reason === '' ? { kind: 'taken', reference: '' } : { kind: 'refused', reason };
      }
      case 'voidDebit':
        onWallet(undoDebit(wallet, context(), { paymentId: 'p1' }));
        return { kind: 'undone' };
      case 'refundDebit':
        onWallet(refundDebit(wallet, context(), { walletId: 'w1', paymentId: 'p1', amount }));
        return { kind: 'undone' };
      case 'charge':
        if (gateway.state === 'new') {
          gateway.state = declines ? 'declined' : 'approved';
          gateway.taken = declines ? 0n : amount.minorUnits;
        }
        return approves() ? { kind: 'taken', reference: 'g1' } : { kind: 'refused', reason: 'CARD_DECLINED' };
      case 'voidCharge':
      case 'refundCharge':
        if (gateway.state === 'approved') gateway.givenBack = gateway.taken - partsGiven();
        if (gateway.state !== 'declined') gateway.state = kind === 'voidCharge' ? 'voided' : 'refunded';
        return { kind: 'undone' };
      case 'refundPartDebit': {
        const { refundId, amount: minorUnits } = part!;
        const money = { ...amount, minorUnits };
        onWallet(refundDebitPart(wallet, context(), { walletId: 'w1', paymentId: 'p1', refundId, amount: money }));
        return { kind: 'undone' };
      }
      case 'refundPartCharge':
        if (gateway.state === 'approved') gateway.parts.set(part!.refundId, part!.amount);
        return { kind: 'undone' };
    }
  }

  return {
    take(runtime: number) {
      const step = nextStep(payment);
      if (step) working[runtime] = { step, part: firstPending(payment), version };
    },
    do(runtime: number, luck: string) {
      const work = working[runtime];
      if (!work || work.outcome) return;
      // A wallet is in the payment's own log: if that is unreachable, nothing is recorded either.
      const isWallet = work.step.kind.endsWith('ebit');
      if (luck === 'unreachable') work.outcome = { kind: 'unreachable', error: 'CIRCUIT_OPEN', retryAfterMs: 0 };
      else work.outcome = perform(work.step, work.part);
      if (luck === 'lost') work.outcome = { kind: 'unknown', error: 'GATEWAY_OUTCOME_UNKNOWN' };
      if (isWallet && luck !== 'ok') working[runtime] = undefined;
    },
    record(runtime: number) {
      const work = working[runtime];
      if (!work?.outcome) return;
      working[runtime] = undefined;
      if (!strict || work.version === version) append(settle(payment, now, work.step, work.outcome));
    },
    crash(runtime: number) {
      working[runtime] = undefined;
    },
    retry() {
      if (payment.attention !== undefined) {
        const refundId = firstPending(payment)?.refundId ?? '';
        append(retryPayment(payment, context(), { paymentId: 'p1', refundId, note: '' }));
      }
    },
    undo() {
      append(undoPayment(payment, context(), { reason: 'x' }));
    },
    refund(minorUnits: bigint) {
      const input = { paymentId: 'p1', refundId: `r${++refunds}`, amount: { ...amount, minorUnits }, reason: 'x' };
      try {
        append(refundPayment(payment, context(), input));
      } catch (error) {
        if (!(error instanceof CaudalError)) throw error;
      }
    },
    deposit() {
      onWallet(deposit(wallet, { walletId: 'w1', amount, reference: '' }));
    },
    withdraw() {
      if (wallet.balance >= amount.minorUnits) onWallet(withdraw(wallet, { walletId: 'w1', amount, reference: '' }));
    },
    payment: () => payment,
    /** What the payer has paid. */
    paid: () => debited + gateway.taken - gateway.givenBack - partsGiven(),
  };
}

test('whatever fails, is lost, crashes or is done twice: the money paid agrees with the payment', () => {
  fc.assert(
    fc.property(scenario, ({ actions, ...options }) => {
      const it = world(options);
      for (const input of actions) {
        if (input.kind === 'do') it.do(input.runtime, input.luck);
        else if (input.kind === 'refund') it.refund(input.amount);
        else if ('runtime' in input) it[input.kind](input.runtime);
        else it[input.kind]();
        const { status, undoing, refunds } = it.payment();
        if (status === 'succeeded' && (!undoing || refunds.length > 0)) {
          const asked = refunds.reduce((sum, refund) => sum + refund.amount, 0n);
          expect(it.paid()).toBeGreaterThanOrEqual(amount.minorUnits - asked);
          expect(it.paid()).toBeLessThanOrEqual(amount.minorUnits - paidBack(it.payment()));
        }
      }
      // No failures from now on: both processes finish what is in flight, then one runs the payment to its end.
      for (const n of [0, 1]) {
        it.do(n, 'ok');
        it.record(n);
      }
      it.retry();
      for (let steps = 0; nextStep(it.payment()); steps++) {
        expect(steps).toBeLessThan(5 + it.payment().refunds.length);
        it.take(0);
        it.do(0, 'ok');
        it.record(0);
      }
      const { status, undoing } = it.payment();
      expect(undoing).toBe(false);
      expect(['succeeded', 'failed', 'voided', 'refunded']).toContain(status);
      expect(it.paid()).toBe(status === 'succeeded' ? amount.minorUnits - paidBack(it.payment()) : 0n);
    }),
    { numRuns: 2000 },
  );
});

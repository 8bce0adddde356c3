/** Runs the next step of a payment. The payment's saga calls this. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import type { PaymentAttentionNeeded } from '@caudal/contract/gen/caudal/payments/v1/events.ts';
import type { Origin } from '@caudal/kernel/context.ts';
import { CaudalError, isTransient } from '@caudal/kernel/errors.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { WalletContext } from '../domain/claims.ts';
import type { PaymentEvent, PaymentState } from '../domain/payment.ts';
import { nextStep, type PaymentStep, type StepOutcome, settle } from '../domain/payment-steps.ts';
import { firstPending, isTooOld, type RefundState } from '../domain/refunds.ts';
import { type WalletEvent, type WalletState, walletDecider } from '../domain/wallet.ts';
import { debit, debitOutcome, refundDebit, refundDebitPart, undoDebit } from '../domain/wallet-debits.ts';
import type { PaymentGateway, UndoResult } from '../gateway/port.ts';
import { textReply } from './text-reply.ts';

const log = logger('payments');
const attentionNeeded = counter(
  'payments_attention_needed_total',
  'Voids and refunds that the gateway has not done after all attempts: an operator must act.',
);

export interface PaymentStepDependencies {
  aggregates: Aggregates;
  gateway: PaymentGateway;
}

export interface PaymentStepContext {
  now: Date;
  origin: Origin;
  signal?: AbortSignal;
}

/**
 * Runs the payment's next step, whatever its due time, and returns the resulting events; none if there is no step. The
 * caller appends them if the payment has not changed since; if it has, the caller runs the step of the new state
 * instead. Safe to repeat. Throws transient errors of the wallet's log; errors of the gateway become events.
 */
export function runPaymentStep(dependencies: PaymentStepDependencies) {
  return async (state: PaymentState, context: PaymentStepContext): Promise<PaymentEvent[]> => {
    const step = nextStep(state);
    if (!step) return [];
    const outcome = tooOld(state, step, context) ?? (await perform(dependencies, state, step, context));
    const events = settle(state, context.now, step, outcome);
    for (const event of events)
      if (event.$case === 'attentionNeeded') raiseAlarm(state.request!.paymentId, event.value);
    return events;
  };
}

/** The outcome of a refund to a wallet that may have forgotten it: an operator looks into the wallet's transactions. */
function tooOld(state: PaymentState, { kind }: PaymentStep, { now }: PaymentStepContext): StepOutcome | undefined {
  const pending = firstPending(state);
  if (kind !== 'refundPartDebit' || !pending || !isTooOld(pending, now)) return undefined;
  return { kind: 'givenUp', error: 'REFUND_TOO_OLD' };
}

function raiseAlarm(paymentId: string, { step, attempt, error }: PaymentAttentionNeeded): void {
  attentionNeeded.add(1, { step });
  log.error({ paymentId, step, attempts: attempt, reason: error }, 'a payment needs attention: retry or settle it');
}

/** Runs a step. Errors: see runPaymentStep. */
async function perform(
  { aggregates, gateway }: PaymentStepDependencies,
  state: PaymentState,
  step: PaymentStep,
  context: PaymentStepContext,
): Promise<StepOutcome> {
  const { request } = state;
  const { paymentId, amount, method } = request!;
  const { signal } = context;
  const wallet = atWallet(aggregates, request!, context);
  switch (step.kind) {
    case 'debit':
      return wallet.debit();
    case 'voidDebit':
      return wallet.void();
    case 'refundDebit':
      return wallet.refund();
    case 'charge':
      return atGateway(async () => {
        const charge = { key: paymentId, amount: amount!, cardToken: method!.value };
        const result = await gateway.charge(charge, signal);
        if (result.kind === 'approved') return { kind: 'taken', reference: result.reference };
        if (result.kind === 'declined') return { kind: 'refused', reason: result.reason };
        return { kind: 'unknown', error: result.reason };
      });
    case 'voidCharge':
      return atGateway(async () => afterUndo(await gateway.void(paymentId, signal)));
    case 'refundCharge':
      return atGateway(async () => afterUndo(await gateway.refund(paymentId, signal)));
    case 'refundPartDebit':
      return wallet.refundPart(firstPending(state)!);
    case 'refundPartCharge': {
      const { refundId, amount: minorUnits } = firstPending(state)!;
      const part = { charge: paymentId, key: refundId, amount: { minorUnits, currency: amount!.currency } };
      return atGateway(async () => afterUndo(await gateway.refundPart(part, signal)));
    }
  }
}

/** The steps of a payment from a wallet. Errors: transient ones of the wallet's log. */
export function atWallet(
  aggregates: Aggregates,
  { paymentId, customerId, amount, method }: NonNullable<PaymentState['request']>,
  { origin, signal }: Omit<PaymentStepContext, 'now'>,
) {
  const walletId = method!.value;

  /** Needs no command id: the wallet remembers the payment. */
  async function change(decide: (state: WalletState, context: WalletContext) => WalletEvent[]): Promise<string> {
    const executed = await aggregates.execute({
      decider: walletDecider,
      id: walletId,
      decide,
      reply: ({ claim }) => debitOutcome(claim(paymentId)),
      replyCodec: textReply,
      origin,
      signal,
    });
    return executed.reply;
  }

  return {
    async debit(): Promise<StepOutcome> {
      try {
        const request = { walletId, paymentId, customerId, amount: amount! };
        const reason = await change((state, context) => debit(state, context, request));
        return reason === '' ? { kind: 'taken', reference: '' } : { kind: 'refused', reason };
      } catch (error) {
        // A final refusal. (A missing wallet could be opened later, but by then the payment has failed, and is not
        // tried again.)
        if (isTransient(error) || !(error instanceof CaudalError)) throw error;
        return { kind: 'refused', reason: error.reason };
      }
    },
    async void(): Promise<StepOutcome> {
      await change((state, context) => undoDebit(state, context, { paymentId, customerId }));
      return { kind: 'undone' };
    },
    async refund(): Promise<StepOutcome> {
      await change((state, context) => refundDebit(state, context, { walletId, paymentId, amount: amount! }));
      return { kind: 'undone' };
    },
    async refundPart({ refundId, amount: minorUnits }: RefundState): Promise<StepOutcome> {
      const part = { walletId, paymentId, refundId, amount: { minorUnits, currency: amount!.currency } };
      await change((state, context) => refundDebitPart(state, context, part));
      return { kind: 'undone' };
    },
  };
}

/**
 * A refusal may be temporary, as while the charge is in flight: it is tried again until the payment needs attention.
 */
function afterUndo(result: UndoResult): StepOutcome {
  return result.kind === 'done' ? { kind: 'undone' } : { kind: 'unknown', error: result.reason };
}

async function atGateway(call: () => Promise<StepOutcome>): Promise<StepOutcome> {
  try {
    return await call();
  } catch (error) {
    if (!isTransient(error)) throw error;
    if (error.code !== 'UNAVAILABLE') return { kind: 'unknown', error: error.reason };
    return { kind: 'unreachable', error: error.reason, retryAfterMs: error.retryAfterMs ?? 0 };
  }
}

/**
 * The next step of a payment, and the events of its outcome. Pure: the saga runs the step (commands/payment-step.ts)
 * and appends the events of `settle`. Steps may be done without being recorded, so each is safe to repeat, and an undo
 * is run even if the record shows nothing to undo: see README, "The steps don't rely on their records".
 */
import { type PaymentEvent, type PaymentState, undone } from './payment.ts';
import { completed, firstPending } from './refunds.ts';

export type StepKind =
  | 'debit'
  | 'charge'
  | 'voidDebit'
  | 'voidCharge'
  | 'refundDebit'
  | 'refundCharge'
  | 'refundPartDebit'
  | 'refundPartCharge';

export interface PaymentStep {
  kind: StepKind;
  /** 1, 2, 3 ... */
  attempt: number;
  /** Number of delays in a row before this attempt. */
  delays: number;
  /** The earliest time; undefined: now. */
  dueAt: Date | undefined;
  /** The refund of a part that this step is about. */
  refundId?: string;
}

/** The outcome of a step. */
export type StepOutcome =
  /** A wallet's or card's money was taken. */
  | { kind: 'taken'; reference: string }
  /** A final refusal, with its reason. */
  | { kind: 'refused'; reason: string }
  /** A void or refund is done. */
  | { kind: 'undone' }
  /** A refund that is not tried any more: an operator must act. */
  | { kind: 'givenUp'; error: string }
  | Postponed;

/** `error`: a reason of the reference of errors, or the gateway's own. */
type Postponed =
  /** Tried, and the outcome is unknown or the step was not done: it is tried again. */
  | { kind: 'unknown'; error: string }
  /** Not tried: the gateway is unreachable, or its circuit is open. It does not count as an attempt. */
  | { kind: 'unreachable'; error: string; retryAfterMs: number };

/** Attempts of a charge before the payment is voided. */
export const maxCharges = 8;
/** Attempts of a void or refund, over about 25 minutes, before the payment needs attention. */
export const maxUndos = 12;

const pauses: Record<'charge' | 'other', { firstMs: number; maxMs: number }> = {
  charge: { firstMs: 1_000, maxMs: 60_000 },
  // Repeated for as long as the gateway is unreachable: the money must be given back.
  other: { firstMs: 1_000, maxMs: 300_000 },
};

/** The next step; undefined if there is none, for now or for ever. */
export function nextStep(state: PaymentState): PaymentStep | undefined {
  const kind = nextKind(state);
  if (!kind || state.attention !== undefined) return undefined;
  const delayed = state.delayed?.step === kind ? state.delayed : undefined;
  const attempt = kind === 'charge' ? state.attempts + 1 : (delayed?.attempt ?? 0) + 1;
  const refundId = firstPending(state)?.refundId;
  return { kind, attempt, delays: delayed?.delays ?? 0, dueAt: delayed?.dueAt, ...(refundId && { refundId }) };
}

function nextKind(state: PaymentState): StepKind | undefined {
  const { request, status, undoing } = state;
  const byWallet = request?.method?.$case === 'walletId';
  if (firstPending(state)) return byWallet ? 'refundPartDebit' : 'refundPartCharge';
  if (status === 'requested' && !undoing) return byWallet ? 'debit' : 'charge';
  if (status === 'requested') return byWallet ? 'voidDebit' : 'voidCharge';
  if (status === 'succeeded' && undoing) return byWallet ? 'refundDebit' : 'refundCharge';
  return undefined;
}

/**
 * The events of a step's outcome, decided on the payment's present state. It may differ from the state that the step
 * was run in: an undo may have been requested since, or another process may have run the step.
 */
export function settle(state: PaymentState, now: Date, step: PaymentStep, outcome: StepOutcome): PaymentEvent[] {
  if (nextKind(state) === undefined) return [];
  switch (step.kind) {
    case 'debit':
      return state.status === 'requested' && !state.undoing ? afterDebit(state, outcome) : [];
    case 'charge':
      return state.status === 'requested' ? afterCharge(state, now, step, outcome) : [];
    case 'voidDebit':
    case 'voidCharge':
      return state.status === 'requested' ? afterUndo(state, now, step, outcome) : [];
    case 'refundDebit':
    case 'refundCharge':
      return state.status === 'succeeded' ? afterUndo(state, now, step, outcome) : [];
    case 'refundPartDebit':
    case 'refundPartCharge': {
      const pending = firstPending(state);
      // Another process has done it since: the next one is another refund.
      if (!pending || pending.refundId !== step.refundId) return [];
      return outcome.kind === 'undone' ? completed(state, pending) : notUndone(state, now, step, outcome);
    }
  }
}

function afterDebit(state: PaymentState, outcome: StepOutcome): PaymentEvent[] {
  const { orderId } = state.request!;
  if (outcome.kind === 'taken') return [{ $case: 'succeeded', value: { orderId, gatewayReference: '' } }];
  return outcome.kind === 'refused' ? [{ $case: 'failed', value: { orderId, reason: outcome.reason } }] : [];
}

function afterCharge(state: PaymentState, now: Date, step: PaymentStep, outcome: StepOutcome): PaymentEvent[] {
  const { orderId } = state.request!;
  // A late answer, after that of another process, does not lower the number of attempts.
  const isLate = step.attempt <= state.attempts;
  if (outcome.kind === 'unreachable') return state.undoing || isLate ? [] : [delayed(state, now, step, outcome)];
  const sent: PaymentEvent[] = isLate ? [] : [{ $case: 'sentToGateway', value: { orderId, attempt: step.attempt } }];
  if (outcome.kind === 'taken') {
    const { reference: gatewayReference } = outcome;
    const responded: PaymentEvent = {
      $case: 'gatewayResponded',
      value: { orderId, approved: true, gatewayReference, reason: '' },
    };
    // An undo was requested since: the void that follows gives the money back.
    if (state.undoing) return [...sent, responded];
    return [...sent, responded, { $case: 'succeeded', value: { orderId, gatewayReference } }];
  }
  if (outcome.kind === 'refused') {
    const { reason } = outcome;
    return [
      ...sent,
      { $case: 'gatewayResponded', value: { orderId, approved: false, gatewayReference: '', reason } },
      state.undoing ? undone(state) : { $case: 'failed', value: { orderId, reason } },
    ];
  }
  if (state.undoing || isLate || outcome.kind !== 'unknown') return sent;
  if (step.attempt < maxCharges) return [...sent, delayed(state, now, step, outcome)];
  // Further calls can't tell whether money was taken: undo it in any case.
  return [...sent, { $case: 'undoRequested', value: { orderId, reason: 'GATEWAY_UNAVAILABLE' } }];
}

function afterUndo(state: PaymentState, now: Date, step: PaymentStep, outcome: StepOutcome): PaymentEvent[] {
  return outcome.kind === 'undone' ? [undone(state)] : notUndone(state, now, step, outcome);
}

/** After a void or refund that is not done, or of which that is unknown. */
function notUndone(state: PaymentState, now: Date, step: PaymentStep, outcome: StepOutcome): PaymentEvent[] {
  // Another process has given up since.
  if (state.attention !== undefined || !('error' in outcome)) return [];
  const isPostponed = outcome.kind === 'unreachable' || (outcome.kind === 'unknown' && step.attempt < maxUndos);
  if (isPostponed) return [delayed(state, now, step, outcome)];
  const { orderId } = state.request!;
  const { kind, attempt } = step;
  return [{ $case: 'attentionNeeded', value: { orderId, step: kind, attempt, error: outcome.error } }];
}

function delayed(state: PaymentState, now: Date, step: PaymentStep, outcome: Postponed): PaymentEvent {
  const { orderId } = state.request!;
  const { firstMs, maxMs } = pauses[step.kind === 'charge' ? 'charge' : 'other'];
  const backoffMs = Math.min(maxMs, firstMs * 2 ** Math.min(step.delays, 30));
  const unreachable = outcome.kind === 'unreachable';
  const dueTime = new Date(now.getTime() + Math.max(backoffMs, unreachable ? outcome.retryAfterMs : 0));
  const attempt = unreachable ? step.attempt - 1 : step.attempt;
  const { error } = outcome;
  return { $case: 'delayed', value: { orderId, step: step.kind, attempt, error, dueTime, delays: step.delays + 1 } };
}

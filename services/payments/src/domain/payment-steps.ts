/**
 * What a payment has to do next, and what the outcome means. Pure: a process does the step (payment-step.ts in commands)
 * and records what `settle` says.
 *
 * Nothing here relies on what is recorded being all that was done: a process may crash between a step and its record, or
 * two may be at the same payment. Each step is safe to be done again: the wallet knows the payment, the gateway its key.
 * And each undoing step wins over the one it undoes in either order. So whatever was asked for and is to be undone is
 * undone where it would be, even if it looks as if it had never been asked for.
 */
import { type PaymentEvent, type PaymentState, undone } from './payment.ts';

export type StepKind = 'debit' | 'charge' | 'voidDebit' | 'voidCharge' | 'refundDebit' | 'refundCharge';

export interface PaymentStep {
  kind: StepKind;
  /** 1, 2, 3 ... */
  attempt: number;
  /** How often in a row it was delayed before. */
  delays: number;
  /** Not before this; undefined: now. */
  dueAt: Date | undefined;
}

/** What came of a step. */
export type StepOutcome =
  /** A wallet's or card's money was taken. */
  | { kind: 'taken'; reference: string }
  /** It will never be, for this reason. */
  | { kind: 'refused'; reason: string }
  /** A void or refund is done. */
  | { kind: 'undone' }
  | Postponed;

/** `error`: a reason of the catalogue of errors, or the gateway's own. */
type Postponed =
  /** Tried, and not known or not done: to be tried again. */
  | { kind: 'unknown'; error: string }
  /** Not tried: the gateway is away, or its circuit is open. That is no attempt of the payment's. */
  | { kind: 'unreachable'; error: string; retryAfterMs: number };

/** How often the gateway is asked for the money before the payment is voided. */
export const maxCharges = 8;
/** How often the gateway is asked to give it back before people have to look: over about 25 minutes. */
export const maxUndos = 12;

const pauses: Record<'charge' | 'other', { firstMs: number; maxMs: number }> = {
  charge: { firstMs: 1_000, maxMs: 60_000 },
  // Waits as long as the gateway is away: money must come back.
  other: { firstMs: 1_000, maxMs: 300_000 },
};

/** The step to do; undefined if there is none, for now or for good. */
export function nextStep(state: PaymentState): PaymentStep | undefined {
  const kind = nextKind(state);
  if (!kind || state.attention !== undefined) return undefined;
  const delayed = state.delayed?.step === kind ? state.delayed : undefined;
  const attempt = kind === 'charge' ? state.attempts + 1 : (delayed?.attempt ?? 0) + 1;
  return { kind, attempt, delays: delayed?.delays ?? 0, dueAt: delayed?.dueAt };
}

function nextKind({ request, status, undoing }: PaymentState): StepKind | undefined {
  const byWallet = request?.method?.$case === 'walletId';
  if (status === 'requested' && !undoing) return byWallet ? 'debit' : 'charge';
  if (status === 'requested') return byWallet ? 'voidDebit' : 'voidCharge';
  if (status === 'succeeded' && undoing) return byWallet ? 'refundDebit' : 'refundCharge';
  return undefined;
}

/**
 * What happens by a step's outcome, in the state that the payment has now, which may not be the one that the step was
 * done in: somebody may have asked to undo it, or another process may have done the step.
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
  }
}

function afterDebit(state: PaymentState, outcome: StepOutcome): PaymentEvent[] {
  const { orderId } = state.request!;
  if (outcome.kind === 'taken') return [{ $case: 'succeeded', value: { orderId, gatewayReference: '' } }];
  return outcome.kind === 'refused' ? [{ $case: 'failed', value: { orderId, reason: outcome.reason } }] : [];
}

function afterCharge(state: PaymentState, now: Date, step: PaymentStep, outcome: StepOutcome): PaymentEvent[] {
  const { orderId } = state.request!;
  // An answer that is late, behind that of another process, does not count back.
  const isLate = step.attempt <= state.attempts;
  if (outcome.kind === 'unreachable') return state.undoing || isLate ? [] : [delayed(state, now, step, outcome)];
  const sent: PaymentEvent[] = isLate ? [] : [{ $case: 'sentToGateway', value: { orderId, attempt: step.attempt } }];
  if (outcome.kind === 'taken') {
    const { reference: gatewayReference } = outcome;
    const responded: PaymentEvent = {
      $case: 'gatewayResponded',
      value: { orderId, approved: true, gatewayReference, reason: '' },
    };
    // Undone meanwhile: the void that follows gives the money back.
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
  // Whether money was taken can't be found out by asking: undo it in any case.
  return [...sent, { $case: 'undoRequested', value: { orderId, reason: 'GATEWAY_UNAVAILABLE' } }];
}

function afterUndo(state: PaymentState, now: Date, step: PaymentStep, outcome: StepOutcome): PaymentEvent[] {
  if (outcome.kind === 'undone') return [undone(state)];
  // Another process has given up meanwhile.
  if (state.attention !== undefined || !('error' in outcome)) return [];
  if (outcome.kind === 'unreachable' || step.attempt < maxUndos) return [delayed(state, now, step, outcome)];
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

/**
 * The saga of payments of one kind. Its state is the payment itself, its steps are those of domain/payment-steps.ts.
 * Two processes at the same payment do no harm: see payment-steps.ts. Cards and wallets have one saga each, with its
 * own queue: a slow card gateway delays only card payments.
 */
import { payment } from '@caudal/contract/entities.ts';
import { observe } from '@caudal/sagas/observe.ts';
import type { Saga } from '@caudal/sagas/types.ts';
import { type PaymentStepDependencies, runPaymentStep } from '../commands/payment-step.ts';
import { type PaymentEvent, type PaymentState, paymentDecider } from '../domain/payment.ts';
import { nextStep } from '../domain/payment-steps.ts';

export type PaymentMethod = 'wallet' | 'card';

export function paymentSaga(
  method: PaymentMethod,
  dependencies: PaymentStepDependencies,
): Saga<PaymentState, PaymentEvent> {
  const run = runPaymentStep(dependencies);
  return {
    name: `${method}-payment`,
    parts: 8,
    state: paymentDecider,
    observes: [
      observe(payment, {
        // Only `requested` has the method; after other events `next` reads it from the payment.
        saga: ({ id, event }) => (event.$case === 'requested' && methodOf(event.value) !== method ? undefined : id),
        // All other events are the saga's own, and need no reaction.
        reactions: {
          requested: nothingNew,
          undoRequested: nothingNew,
          refundRequested: nothingNew,
          retryRequested: nothingNew,
          // The next refund need wait no more.
          settled: nothingNew,
        },
      }),
    ],
    next(state) {
      if (!state.request || methodOf(state.request) !== method) return undefined;
      const step = nextStep(state);
      return step && { name: step.kind, dueAt: step.dueAt };
    },
    run: (_step, state, { now, origin, signal }) => run(state, { now, origin, signal }),
  };
}

/** No new facts: the event is in the payment's own state already. */
function nothingNew(): PaymentEvent[] {
  return [];
}

function methodOf({ method }: NonNullable<PaymentState['request']>): PaymentMethod {
  return method?.$case === 'walletId' ? 'wallet' : 'card';
}

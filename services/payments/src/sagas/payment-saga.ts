/**
 * Leads payments of one kind on: their state is the payment itself, and their steps are those of
 * domain/payment-steps.ts. Two of them at the same payment do no harm: wallet and gateway know the payment, and what
 * moved meanwhile is decided anew.
 *
 * Cards and wallets have a saga each, with a queue of its own: a card gateway that takes seconds to answer fills the
 * queue of card payments and leaves the others alone.
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
    state: paymentDecider,
    observes: [
      observe(payment, {
        // Only this event says how the payment is made; after the others `next` looks at the payment.
        saga: ({ id, event }) => (event.$case === 'requested' && methodOf(event.value) !== method ? undefined : id),
        // The other events are the saga's own: it knows what follows from them.
        reactions: { requested: nothingNew, undoRequested: nothingNew, retryRequested: nothingNew },
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

/** The payment's own state has it already. */
function nothingNew(): PaymentEvent[] {
  return [];
}

function methodOf({ method }: NonNullable<PaymentState['request']>): PaymentMethod {
  return method?.$case === 'walletId' ? 'wallet' : 'card';
}

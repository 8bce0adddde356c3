/**
 * Leads payments of one kind on: their memory is the payment itself, and their steps are those of
 * domain/payment-steps.ts. Two of them at the same payment do no harm: wallet and gateway know the payment, and what
 * moved meanwhile is decided anew.
 *
 * Cards and wallets have a process each, with a queue of its own: a card gateway that takes seconds to answer fills the
 * queue of card payments and leaves the others alone.
 */
import { payment } from '@caudal/contract/entities.ts';
import { observe, type Saga } from '@caudal/sagas/types.ts';
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
        saga({ id, event }) {
          switch (event.$case) {
            case 'requested':
              return methodOf(event.value) === method ? id : undefined;
            // These don't say how the payment is made: `next` looks at the payment.
            case 'undoRequested':
            case 'retryRequested':
              return id;
            // The other events are this process's own: it knows what follows from them.
            default:
              return undefined;
          }
        },
        react: () => [],
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

function methodOf({ method }: NonNullable<PaymentState['request']>): PaymentMethod {
  return method?.$case === 'walletId' ? 'wallet' : 'card';
}

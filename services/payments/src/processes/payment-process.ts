/**
 * Leads a payment on: its memory is the payment itself, and its steps are those of domain/payment-steps.ts. Two of them
 * at the same payment do no harm: wallet and gateway know the payment, and what moved meanwhile is decided anew.
 */
import { payment } from '@caudal/contract/entities.ts';
import { observe, type Process } from '@caudal/processes/types.ts';
import { type PaymentStepDependencies, runPaymentStep } from '../commands/payment-step.ts';
import { type PaymentEvent, type PaymentState, paymentDecider } from '../domain/payment.ts';
import { nextStep } from '../domain/payment-steps.ts';

export function paymentProcess(dependencies: PaymentStepDependencies): Process<PaymentState, PaymentEvent> {
  const run = runPaymentStep(dependencies);
  return {
    name: 'payment',
    memory: paymentDecider,
    observes: [
      observe(payment, {
        // The other events are this process's own: it knows what follows from them.
        process: ({ id, event }) => (event.$case === 'requested' || event.$case === 'undoRequested' ? id : undefined),
        react: () => [],
      }),
    ],
    next(state) {
      const step = nextStep(state);
      return step && { name: step.kind, dueAt: step.dueAt };
    },
    run: (_step, state, { now, origin, signal }) => run(state, { now, origin, signal }),
  };
}

/** Runs a payment's steps to their end, without its saga. */
import { noReply } from '@caudal/aggregates/no-reply.ts';
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { runPaymentStep } from '../commands/payment-step.ts';
import { paymentDecider } from '../domain/payment.ts';
import { nextStep } from '../domain/payment-steps.ts';
import type { PaymentGateway } from '../gateway/port.ts';

export interface LeadPaymentOptions {
  aggregates: Aggregates;
  gateway: PaymentGateway;
  paymentId: string;
  /** The time, which goes on through all pauses. */
  time: { now: Date };
}

/** Runs the steps through all pauses, until none is left. Returns status, reason and number of attempts. */
export async function leadPayment({ aggregates, gateway, paymentId, time }: LeadPaymentOptions) {
  const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };
  for (;;) {
    const { state, version } = await aggregates.load(paymentDecider, paymentId);
    const step = nextStep(state);
    if (!step) return { status: state.status, reason: state.reason, attempts: state.attempts };
    if (step.dueAt && step.dueAt > time.now) time.now = step.dueAt;
    const events = await runPaymentStep({ aggregates, gateway })(state, { now: time.now, origin });
    await aggregates.execute({
      ...{ decider: paymentDecider, id: paymentId, reply: () => undefined, replyCodec: noReply, origin },
      decide: (_, context) => (context.version === version ? events : []),
    });
  }
}

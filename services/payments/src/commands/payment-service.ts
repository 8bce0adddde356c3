/**
 * Creates payments and undoes them: caudal.payments.v1.PaymentService. The payment's saga does the rest. Only a payment
 * from a wallet, which is in the same log, is made at once where possible; the saga then finds no step left.
 */
import type { Aggregates, DecisionContext } from '@caudal/aggregates/types.ts';
import { executeFor } from '@caudal/context/execute-for.ts';
import { Payment, PaymentServiceService, PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { isTransient, notFound } from '@caudal/kernel/errors.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import { type Call, service } from '@caudal/rpc/types.ts';
import {
  type PaymentEvent,
  type PaymentState,
  paymentDecider,
  refundPayment,
  requestPayment,
  retryPayment,
  settlePayment,
  undoPayment,
} from '../domain/payment.ts';
import { nextStep, settle } from '../domain/payment-steps.ts';
import { refundAtMost } from '../domain/refunds.ts';
import { paymentMessage } from '../payment-message.ts';
import type { FourEyes } from './four-eyes.ts';
import { refundIdOf } from './ids-of-calls.ts';
import { atWallet } from './payment-step.ts';

/** `eyes`: asks for a second person where one is needed; absent: never. */
export function paymentService({ aggregates, ids, eyes }: { aggregates: Aggregates; ids: IdSource; eyes?: FourEyes }) {
  return service(PaymentServiceService, {
    async createPayment({ paymentId, orderId, customerId, amount, method }, call) {
      const requested = await change(paymentId, call, (state, context) =>
        requestPayment(state, context, { paymentId, orderId, customerId, amount, method }),
      );
      if (requested.status !== PaymentStatus.PAYMENT_STATUS_REQUESTED || method?.$case !== 'walletId') return requested;
      try {
        return (await payFromWallet(paymentId, call)) ?? requested;
      } catch (error) {
        // The request is recorded, which is all that this call promises. The saga makes the payment.
        if (!isTransient(error)) throw error;
        return requested;
      }
    },
    undoPayment: ({ paymentId, orderId, reason }, call) =>
      change(paymentId, call, (state, context) => {
        const { request } = state;
        if (request && orderId !== undefined && orderId !== request.orderId) throw notFound('payment', paymentId);
        return undoPayment(state, context, { reason });
      }),
    async refundPayment({ paymentId, amount, reason }, call) {
      if (eyes?.needs('refund')) {
        const act = { act: 'refund', paymentId, amount, note: reason } as const;
        return eyes.ask(call, act, (refuse) => change(paymentId, call, refuse));
      }
      const input = { paymentId, refundId: refundIdOf(call.commandId) ?? ids(), amount, reason };
      return change(paymentId, call, (state, context) => refundPayment(state, context, input));
    },
    createRefund: ({ paymentId, refundId, amount, reason }, call) =>
      change(paymentId, call, (state) => refundAtMost(state, { paymentId, refundId, amount: amount!, reason })),
    retryPayment: ({ paymentId, refundId, note }, call) =>
      change(paymentId, call, (state, context) => retryPayment(state, context, { paymentId, refundId, note })),
    async settlePayment({ paymentId, refundId, note }, call) {
      if (eyes?.needs('settlement')) {
        const act = { act: 'settlement', paymentId, refundId, note } as const;
        return eyes.ask(call, act, (refuse) => change(paymentId, call, refuse));
      }
      return change(paymentId, call, (state, context) => settlePayment(state, context, { paymentId, refundId, note }));
    },
  });

  /** Undefined if a debit is no longer the payment's next step. Errors: transient ones of the log. */
  async function payFromWallet(paymentId: string, call: Call): Promise<Payment | undefined> {
    const { state } = await aggregates.load(paymentDecider, paymentId);
    const step = nextStep(state);
    if (step?.kind !== 'debit') return undefined;
    const outcome = await atWallet(aggregates, state.request!, call).debit();
    // Without a command id: the call's own is used for the request above.
    return change(paymentId, { ...call, commandId: undefined }, (current, { now }) =>
      settle(current, now, step, outcome),
    );
  }

  function change(
    paymentId: string,
    call: Call,
    decide: (state: PaymentState, context: DecisionContext) => PaymentEvent[],
  ): Promise<Payment> {
    return executeFor(call, aggregates, {
      decider: paymentDecider,
      id: paymentId,
      decide,
      reply: ({ state, version }) => paymentMessage(paymentId, state, version),
      replyCodec: Payment,
    });
  }
}

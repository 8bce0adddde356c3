/** Asks for payments and undoes them: caudal.payments.v1.PaymentService. The payment's process does the rest. */
import type { Aggregates, Moment } from '@caudal/aggregates/types.ts';
import { executeFor } from '@caudal/context/execute-for.ts';
import { Payment, PaymentServiceService } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
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
import { paymentMessage } from '../payment-message.ts';

export function paymentService({ aggregates }: { aggregates: Aggregates }) {
  return service(PaymentServiceService, {
    createPayment: ({ paymentId, orderId, customerId, amount, method }, call) =>
      change(paymentId, call, (state, moment) =>
        requestPayment(state, moment, { paymentId, orderId, customerId, amount, method }),
      ),
    undoPayment: ({ paymentId, reason }, call) =>
      change(paymentId, call, (state, moment) => undoPayment(state, moment, { reason })),
    refundPayment: ({ paymentId, reason }, call) =>
      change(paymentId, call, (state, moment) => refundPayment(state, moment, { paymentId, reason })),
    retryPayment: ({ paymentId, note }, call) =>
      change(paymentId, call, (state, moment) => retryPayment(state, moment, { paymentId, note })),
    settlePayment: ({ paymentId, note }, call) =>
      change(paymentId, call, (state, moment) => settlePayment(state, moment, { paymentId, note })),
  });

  function change(
    paymentId: string,
    call: Call,
    decide: (state: PaymentState, moment: Moment) => PaymentEvent[],
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

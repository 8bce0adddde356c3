/** Payment status: the state of every payment, in one read. */
import { payment } from '@caudal/contract/entities.ts';
import { Payment, PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { ignored, ignoreUnknown, on, type Projection } from '@caudal/projections/types.ts';
import type { PaymentEvent } from '../domain/payment.ts';

const blank = Payment.fromPartial({});

export const paymentStatus: Projection<Payment> = {
  name: 'payment-status',
  version: 3,
  parts: 8,
  codec: Payment,
  follows: [
    on<Payment, PaymentEvent>(payment, {
      view: ({ id }) => id,
      evolve(view = blank, { id, event, at }) {
        const isPending = view.refunds.some(({ completed }) => !completed);
        // Every event ends the wait for an operator, except requests for what comes behind it.
        const goesOn = event.$case === 'refundRequested' || (event.$case === 'undoRequested' && isPending);
        const waited = goesOn ? {} : { needsAttention: false, attentionReason: '' };
        const changed = change(view, event, at);
        return changed === ignored ? ignored : { ...view, paymentId: id, ...waited, ...changed, updateTime: at };
      },
    }),
  ],
  keys: {
    order_id: { type: 'keyword', of: (view) => view.orderId },
    customer_id: { type: 'keyword', of: (view) => view.customerId },
    status: { type: 'keyword', of: (view) => String(view.status) },
    needs_attention: { type: 'boolean', of: (view) => view.needsAttention },
    create_time: { type: 'timestamp', of: (view) => view.createTime },
  },
  indexes: [['create_time'], ['customer_id', 'create_time'], ['needs_attention', 'create_time']],
};

/** The fields that the event changes. */
function change(view: Payment, event: PaymentEvent, at: Date): Partial<Payment> | typeof ignored {
  switch (event.$case) {
    case 'requested': {
      const { orderId, customerId, amount, method } = event.value;
      const walletId = method?.$case === 'walletId' ? method.value : '';
      const status = PaymentStatus.PAYMENT_STATUS_REQUESTED;
      return { orderId, customerId, amount, walletId, status, createTime: at };
    }
    case 'sentToGateway': {
      const { attempt: attempts } = event.value;
      if (view.status === PaymentStatus.PAYMENT_STATUS_VOIDING) return { attempts };
      return { attempts, status: PaymentStatus.PAYMENT_STATUS_SENT_TO_GATEWAY };
    }
    case 'gatewayResponded':
      return { gatewayReference: event.value.gatewayReference };
    case 'succeeded':
      return { status: PaymentStatus.PAYMENT_STATUS_SUCCEEDED, gatewayReference: event.value.gatewayReference };
    case 'failed':
      return { status: PaymentStatus.PAYMENT_STATUS_FAILED, reason: event.value.reason };
    case 'undoRequested': {
      const taken = view.status === PaymentStatus.PAYMENT_STATUS_SUCCEEDED;
      const status = taken ? PaymentStatus.PAYMENT_STATUS_REFUNDING : PaymentStatus.PAYMENT_STATUS_VOIDING;
      return { status, reason: event.value.reason };
    }
    case 'voided':
    case 'barred':
      return { status: PaymentStatus.PAYMENT_STATUS_VOIDED };
    case 'refunded': {
      const refunded = view.amount && view.amount.minorUnits > 0n ? view.amount : undefined;
      return { status: PaymentStatus.PAYMENT_STATUS_REFUNDED, refunded };
    }
    case 'refundRequested': {
      const { refundId, amount, reason } = event.value;
      return { refunds: [...view.refunds, { refundId, amount, reason, completed: false, createTime: at }] };
    }
    case 'refundCompleted': {
      const { refundId, refunded } = event.value;
      const refunds = view.refunds.map((one) => (one.refundId === refundId ? { ...one, completed: true } : one));
      return { refunds, refunded };
    }
    case 'attentionNeeded':
      return { needsAttention: true, attentionReason: event.value.error };
    case 'delayed':
    case 'retryRequested':
    case 'settled':
      return {};
    default:
      return ignoreUnknown(event);
  }
}

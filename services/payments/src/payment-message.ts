/** A payment as a message of the contract. */
import { commandEtag } from '@caudal/context/etag.ts';
import { type Payment, PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import type { PaymentState } from './domain/payment.ts';
import { paidBack } from './domain/refunds.ts';

export function paymentMessage(paymentId: string, state: PaymentState, version: number): Payment {
  const { request, reason, gatewayReference, attempts, attention, createTime, updateTime } = state;
  const money = (minorUnits: bigint) => ({ minorUnits, currency: request!.amount!.currency });
  const back = paidBack(state);
  return {
    paymentId,
    orderId: request?.orderId ?? '',
    customerId: request?.customerId ?? '',
    amount: request?.amount,
    walletId: request?.method?.$case === 'walletId' ? request.method.value : '',
    status: statusOf(state),
    reason,
    gatewayReference,
    attempts,
    createTime,
    updateTime,
    etag: commandEtag(version),
    needsAttention: attention !== undefined,
    attentionReason: attention ?? '',
    refunded: back > 0n ? money(back) : undefined,
    refunds: state.refunds.map(({ amount, triedSince: _, ...refund }) => ({ ...refund, amount: money(amount) })),
  };
}

function statusOf({ status, undoing, attempts }: PaymentState): Payment['status'] {
  switch (status) {
    case 'none':
      return PaymentStatus.PAYMENT_STATUS_UNSPECIFIED;
    case 'requested':
      if (undoing) return PaymentStatus.PAYMENT_STATUS_VOIDING;
      return attempts > 0 ? PaymentStatus.PAYMENT_STATUS_SENT_TO_GATEWAY : PaymentStatus.PAYMENT_STATUS_REQUESTED;
    case 'succeeded':
      return undoing ? PaymentStatus.PAYMENT_STATUS_REFUNDING : PaymentStatus.PAYMENT_STATUS_SUCCEEDED;
    case 'failed':
      return PaymentStatus.PAYMENT_STATUS_FAILED;
    case 'voided':
    case 'barred':
      return PaymentStatus.PAYMENT_STATUS_VOIDED;
    case 'refunded':
      return PaymentStatus.PAYMENT_STATUS_REFUNDED;
  }
}

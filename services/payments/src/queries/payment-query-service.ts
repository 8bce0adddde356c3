/** Reads payments: caudal.payments.v1.PaymentQueryService. */
import { viewEtag } from '@caudal/context/etag.ts';
import type { ViewReader } from '@caudal/context/view-reader.ts';
import { payment } from '@caudal/contract/entities.ts';
import { type Payment, PaymentQueryServiceService } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import { service } from '@caudal/rpc/types.ts';

export function paymentQueryService({ payments }: { payments: ViewReader<Payment> }) {
  return service(PaymentQueryServiceService, {
    async getPaymentStatus({ paymentId }, call) {
      const stored = await payments.get(paymentId, call);
      // One that was undone before it was asked for is nobody's.
      if (!stored?.view.createTime) throw notFound('payment', paymentId);
      call.authorize(stored.view.customerId);
      return { ...stored.view, etag: viewEtag(stored, payment.stream(stored.id)) };
    },
  });
}

/** Reads payments: caudal.payments.v1.PaymentQueryService. */
import { viewEtag } from '@caudal/context/etag.ts';
import { type ListOrders, listOrder } from '@caudal/context/order-by.ts';
import { pageLimit } from '@caudal/context/page-limit.ts';
import type { ViewReader } from '@caudal/context/view-reader.ts';
import { payment } from '@caudal/contract/entities.ts';
import {
  type ListPaymentsRequest,
  type Payment,
  PaymentQueryServiceService,
} from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import type { Condition, StoredView } from '@caudal/projections/types.ts';
import { service } from '@caudal/rpc/types.ts';

const paymentsBy: ListOrders = {
  'create_time desc': [{ key: 'create_time', descending: true }],
  create_time: [{ key: 'create_time' }],
};

export function paymentQueryService({ payments }: { payments: ViewReader<Payment> }) {
  return service(PaymentQueryServiceService, {
    async getPaymentStatus({ paymentId }, call) {
      const stored = await payments.get(paymentId, call);
      // A payment that was undone before its request has no owner.
      if (!stored?.view.createTime) throw notFound('payment', paymentId);
      call.authorize(stored.view.customerId);
      return message(stored);
    },

    async listPayments(request, call) {
      const page = await payments.find(
        {
          // A payment that was undone before its request has no time.
          where: [...conditions(request), { key: 'create_time' }],
          ...listOrder(request.orderBy, paymentsBy),
          limit: pageLimit(request.pageSize),
          pageToken: request.pageToken,
        },
        call,
      );
      return { payments: page.views.map(message), nextPageToken: page.nextPageToken };
    },
  });
}

function conditions({ customerId, needsAttention }: ListPaymentsRequest): Condition[] {
  const where: Condition[] = [];
  if (customerId) where.push({ key: 'customer_id', equals: customerId });
  if (needsAttention) where.push({ key: 'needs_attention', equals: true });
  return where;
}

function message(stored: StoredView<Payment>): Payment {
  return { ...stored.view, etag: viewEtag(stored, payment.stream(stored.id)) };
}

/** Reads customers from the log itself: caudal.customers.v1.CustomerQueryService. There is no view of personal data. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import { service } from '@caudal/rpc/types.ts';
import { customerMessage } from '../customer-message.ts';
import { customerDecider, sealedCustomerDecider } from '../domain/customer.ts';

/** Whether an answer with this mask shows personal texts. */
function showsPersonal(readMask: string[] | undefined): boolean {
  return !readMask?.length || readMask.some((path) => path === '*' || !impersonal.includes(path));
}

const impersonal = ['customer_id', 'country', 'create_time', 'update_time', 'etag', 'email_verified', 'erase_time'];

/** `sealed`: the same aggregates without personal texts, for answers that show none. */
export function customerQueryService({
  aggregates,
  sealed,
}: {
  aggregates: Pick<Aggregates, 'load'>;
  sealed: Pick<Aggregates, 'load'>;
}) {
  return service(CustomerQueryServiceService, {
    async getCustomer({ customerId, readMask }) {
      const { state, version } = showsPersonal(readMask)
        ? await aggregates.load(customerDecider, customerId)
        : await sealed.load(sealedCustomerDecider, customerId);
      if (version === 0) throw notFound('customer', customerId);
      return customerMessage(state, version);
    },
    async getEmailVerification({ customerId, verificationId }) {
      const { state } = await aggregates.load(customerDecider, customerId);
      const { pending } = state.verification;
      if (pending?.verificationId !== verificationId) throw notFound('verification', verificationId);
      const { email, code, expireTime } = pending;
      return { email, code, expireTime };
    },
  });
}

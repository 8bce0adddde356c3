/** Reads customers from the log itself: caudal.customers.v1.CustomerQueryService. There is no view of personal data. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import { service } from '@caudal/rpc/types.ts';
import { customerMessage } from '../customer-message.ts';
import { customerDecider } from '../domain/customer.ts';

export function customerQueryService({ aggregates }: { aggregates: Pick<Aggregates, 'load'> }) {
  return service(CustomerQueryServiceService, {
    async getCustomer({ customerId }) {
      const { state, version } = await aggregates.load(customerDecider, customerId);
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

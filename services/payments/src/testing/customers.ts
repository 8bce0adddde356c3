/** Customers for tests: all are registered, and some were erased. */
import { Customer, type CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import type { Client } from '@caudal/rpc/types.ts';

/** `erased`: the ids of those who were. */
export const customersBut = (...erased: string[]): Client<CustomerQueryServiceService> =>
  ({
    getCustomer: async ({ customerId }: { customerId: string }) =>
      Customer.fromPartial({ customerId, ...(erased.includes(customerId) && { eraseTime: new Date(0) }) }),
  }) as Partial<Client<CustomerQueryServiceService>> as Client<CustomerQueryServiceService>;

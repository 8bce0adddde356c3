/** Changes customers: caudal.customers.v1.CustomerService. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { checkEtag } from '@caudal/context/etag.ts';
import { executeFor } from '@caudal/context/execute-for.ts';
import { Customer, CustomerServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { personalCodec } from '@caudal/contract/personal.ts';
import { type Call, service } from '@caudal/rpc/types.ts';
import { customerMessage } from '../customer-message.ts';
import { type CustomerEvent, type CustomerState, customerDecider, register, update } from '../domain/customer.ts';

/** Answers are kept for repeats, beside the log: what is personal is sealed there as well. */
const replyCodec = personalCodec('caudal.customers.v1.Customer', Customer);

export function customerService({ aggregates }: { aggregates: Aggregates }) {
  return service(CustomerServiceService, {
    registerCustomer: ({ customerId, displayName, email, country }, call) =>
      change(customerId, '', call, (state) => register(state, { customerId, displayName, email, country })),
    updateCustomer: ({ customerId, etag, displayName, email, country }, call) =>
      change(customerId, etag, call, (state) => update(state, customerId, { displayName, email, country })),
  });

  function change(
    customerId: string,
    etag: string,
    call: Call,
    decide: (state: CustomerState) => CustomerEvent[],
  ): Promise<Customer> {
    return executeFor(call, aggregates, {
      decider: customerDecider,
      id: customerId,
      decide(state, { version }) {
        // Of a customer who is not there, that is what is said.
        if (version > 0) checkEtag(etag, version);
        return decide(state);
      },
      reply: ({ state, version }) => customerMessage(state, version),
      replyCodec,
    });
  }
}

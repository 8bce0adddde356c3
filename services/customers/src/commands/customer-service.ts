/** Changes customers: caudal.customers.v1.CustomerService. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { checkEtag } from '@caudal/context/etag.ts';
import { executeFor } from '@caudal/context/execute-for.ts';
import {
  Customer,
  CustomerServiceService,
  type UpdateCustomerRequest,
} from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import type { CustomerUpdated } from '@caudal/contract/gen/caudal/customers/v1/events.ts';
import { personalCodec } from '@caudal/contract/personal.ts';
import { invalidField } from '@caudal/kernel/errors.ts';
import { type Call, service } from '@caudal/rpc/types.ts';
import { customerMessage } from '../customer-message.ts';
import { type CustomerEvent, type CustomerState, customerDecider, register, update } from '../domain/customer.ts';

const detailFields = ['display_name', 'email', 'country'] as const;

/** Answers are stored for repeats, beside the log: so personal fields are encrypted there as well. */
const replyCodec = personalCodec('caudal.customers.v1.Customer', Customer);

export function customerService({ aggregates }: { aggregates: Aggregates }) {
  return service(CustomerServiceService, {
    registerCustomer: ({ customerId, displayName, email, country }, call) =>
      change(customerId, '', call, (state) => register(state, { customerId, displayName, email, country })),
    async updateCustomer(request, call) {
      const changed = changedDetails(request);
      return change(request.customerId, request.etag, call, (state) => update(state, request.customerId, changed));
    },
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
        // Without a customer the answer is NOT_FOUND, whatever the etag.
        if (version > 0) checkEtag(etag, version);
        return decide(state);
      },
      reply: ({ state, version }) => customerMessage(state, version),
      replyCodec,
    });
  }
}

/** The fields that the request sets: those of its mask, empty if absent; or without a mask those that are present. */
function changedDetails({ updateMask, ...given }: UpdateCustomerRequest): Partial<CustomerUpdated> {
  const { displayName, email, country } = given;
  // A mask without a path is no mask (AIP-134).
  if (!updateMask?.length) return { displayName, email, country };
  const unknown = updateMask.find((path) => path !== '*' && !detailFields.some((field) => field === path));
  if (unknown !== undefined) throw invalidField('update_mask', `"${unknown}" is none of ${detailFields.join(', ')}`);
  const named = (field: string) => updateMask.includes('*') || updateMask.includes(field);
  return {
    displayName: named('display_name') ? (displayName ?? '') : undefined,
    email: named('email') ? (email ?? '') : undefined,
    country: named('country') ? (country ?? '') : undefined,
  };
}

/** Changes customers: caudal.customers.v1.CustomerService. */
import { createHash, randomInt, timingSafeEqual } from 'node:crypto';
import type { Aggregates, ClaimContext } from '@caudal/aggregates/types.ts';
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
import type { IdSource } from '@caudal/kernel/ids.ts';
import { type Call, service } from '@caudal/rpc/types.ts';
import { customerMessage } from '../customer-message.ts';
import {
  type CustomerEvent,
  type CustomerState,
  customerDecider,
  erase,
  markVerified,
  register,
  requestVerification,
  update,
  verify,
} from '../domain/customer.ts';

const detailFields = ['display_name', 'email', 'country'] as const;

/** Answers are stored for repeats, beside the log: so personal fields are encrypted there as well. */
const replyCodec = personalCodec('caudal.customers.v1.Customer', Customer);

/** Letters and digits that are not mistaken for each other: ten of them have 50 bits. */
const codeLetters = '23456789ABCDEFGHJKLMNPQRSTUVWXYZ';
const codeLength = 10;

const newCode = () => Array.from({ length: codeLength }, () => codeLetters[randomInt(codeLetters.length)]).join('');

export function customerService({ aggregates, ids }: { aggregates: Aggregates; ids: IdSource }) {
  return service(CustomerServiceService, {
    registerCustomer: ({ customerId, displayName, email, country }, call) =>
      change(customerId, '', call, (state) => register(state, { customerId, displayName, email, country })),
    async updateCustomer(request, call) {
      const changed = changedDetails(request);
      return change(request.customerId, request.etag, call, (state) => update(state, request.customerId, changed));
    },
    eraseCustomer: ({ customerId }, call) => change(customerId, '', call, (state) => erase(state, customerId)),
    requestEmailVerification({ customerId }, call) {
      const wanted = { customerId, verificationId: ids(), code: newCode() };
      return change(customerId, '', call, (state, context) => requestVerification(state, context, wanted));
    },
    async verifyEmail({ customerId, code }, call) {
      const isRight = (expected: string) => isSame(code, expected);
      const answer = await change(customerId, '', call, (state, context) =>
        verify(state, context, customerId, isRight),
      );
      // The attempt counts, so it is an event. Its answer is this refusal, also for a repeat.
      if (!answer.emailVerified)
        throw invalidField('code', 'is not the code of the last mail', 'VERIFICATION_CODE_WRONG');
      return answer;
    },
    markEmailVerified: ({ customerId, email }, call) =>
      change(customerId, '', call, (state) => markVerified(state, customerId, email)),
  });

  function change(
    customerId: string,
    etag: string,
    call: Call,
    decide: (state: CustomerState, context: ClaimContext<unknown>) => CustomerEvent[],
  ): Promise<Customer> {
    return executeFor(call, aggregates, {
      decider: customerDecider,
      id: customerId,
      decide(state, context) {
        // Without a customer the answer is NOT_FOUND, whatever the etag.
        if (context.version > 0) checkEtag(etag, context.version);
        return decide(state, context);
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

/** Compares codes in a time that does not tell how much of them is right. */
function isSame(given: string, expected: string): boolean {
  const digest = (code: string) => createHash('sha256').update(code.replace(/[\s-]/g, '').toUpperCase()).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

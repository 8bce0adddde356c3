/** A customer: the only aggregate with personal data. */
import type { Decider } from '@caudal/aggregates/types.ts';
import { customer, type EventOf } from '@caudal/contract/entities.ts';
import type { CustomerRegistered, CustomerUpdated } from '@caudal/contract/gen/caudal/customers/v1/events.ts';
import { CaudalError, invalidField, notFound } from '@caudal/kernel/errors.ts';

export type CustomerEvent = EventOf<typeof customer>;

export interface CustomerState {
  /** Empty until the customer is registered. */
  customerId: string;
  details: CustomerUpdated;
  createTime: Date | undefined;
  updateTime: Date | undefined;
}

export const customerDecider: Decider<CustomerState, CustomerEvent> = {
  entity: customer,
  initial: {
    customerId: '',
    details: { displayName: '', email: '', country: '' },
    createTime: undefined,
    updateTime: undefined,
  },
  owner: (state) => state.customerId || undefined,
  evolve(state, event, at) {
    switch (event.$case) {
      case 'registered': {
        const { customerId, ...details } = event.value;
        return { customerId, details, createTime: at, updateTime: at };
      }
      case 'updated':
        return { ...state, details: event.value, updateTime: at };
    }
  },
};

/** Registers a customer. Refused: ALREADY_EXISTS CUSTOMER_EXISTS; INVALID_ARGUMENT (a blank name or country). */
export function register(state: CustomerState, details: CustomerRegistered): CustomerEvent[] {
  if (state.customerId !== '') {
    throw new CaudalError('ALREADY_EXISTS', 'CUSTOMER_EXISTS', `There is a customer "${details.customerId}" already.`);
  }
  assertNotBlank(details);
  return [{ $case: 'registered', value: details }];
}

/** Changes the given details; undefined leaves a detail as it is. Refused: NOT_FOUND; INVALID_ARGUMENT (a blank name or country). */
export function update(
  state: CustomerState,
  customerId: string,
  changed: { [Name in keyof CustomerUpdated]?: CustomerUpdated[Name] | undefined },
): CustomerEvent[] {
  if (state.customerId === '') throw notFound('customer', customerId);
  assertNotBlank(changed);
  const details = {
    displayName: changed.displayName ?? state.details.displayName,
    email: changed.email ?? state.details.email,
    country: changed.country ?? state.details.country,
  };
  const names = Object.keys(details) as (keyof CustomerUpdated)[];
  if (names.every((name) => details[name] === state.details[name])) return [];
  return [{ $case: 'updated', value: details }];
}

/** Throws INVALID_ARGUMENT for a text of blanks. An empty one is right: it says that nothing is known. */
function assertNotBlank({ displayName, country }: { displayName?: string | undefined; country?: string | undefined }) {
  for (const [field, text] of Object.entries({ display_name: displayName, country }))
    if (text && text.trim() === '') throw invalidField(field, 'must not be blank; an empty text leaves it open');
}

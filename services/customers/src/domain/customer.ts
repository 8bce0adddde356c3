/** A customer: the aggregate with the personal data of a person. */
import type { Decider, DecisionContext } from '@caudal/aggregates/types.ts';
import { customer, type EventOf } from '@caudal/contract/entities.ts';
import type { CustomerRegistered, CustomerUpdated } from '@caudal/contract/gen/caudal/customers/v1/events.ts';
import { CaudalError, invalidField, notFound, refused } from '@caudal/kernel/errors.ts';
import { afterVerification, type Verification } from './verification.ts';

export type CustomerEvent = EventOf<typeof customer>;

export interface CustomerState {
  /** Empty until the customer is registered. */
  customerId: string;
  details: CustomerUpdated;
  /** Of the present address. */
  verification: Verification;
  /** Set once the customer was erased: then the details are empty. */
  eraseTime: Date | undefined;
  createTime: Date | undefined;
  updateTime: Date | undefined;
}

const noDetails: CustomerUpdated = { displayName: '', email: '', country: '' };

export const customerDecider: Decider<CustomerState, CustomerEvent> = {
  entity: customer,
  forgetIdle: () => true,
  initial: {
    customerId: '',
    details: noDetails,
    verification: { verified: false, pending: undefined, requests: [] },
    eraseTime: undefined,
    createTime: undefined,
    updateTime: undefined,
  },
  owner: (state) => state.customerId || undefined,
  evolve(state, event, at) {
    switch (event.$case) {
      case 'registered': {
        const { customerId, ...details } = event.value;
        return { ...customerDecider.initial, customerId, details, createTime: at, updateTime: at };
      }
      case 'updated': {
        const isOther = event.value.email !== state.details.email;
        const { verification } = state;
        return {
          ...state,
          details: event.value,
          verification: isOther ? { ...verification, verified: false, pending: undefined } : verification,
          updateTime: at,
        };
      }
      case 'erased':
        return {
          ...customerDecider.initial,
          customerId: event.value.customerId,
          eraseTime: at,
          createTime: state.createTime,
          updateTime: at,
        };
      case 'emailVerificationRequested':
      case 'emailVerificationFailed':
      case 'emailVerified':
        return { ...state, verification: afterVerification(state.verification, event, at), updateTime: at };
    }
  },
};

/** The same for a state without personal texts, which may be kept. */
export const sealedCustomerDecider: typeof customerDecider = { ...customerDecider, forgetIdle: () => false };

/**
 * Registers a customer. Refused: ALREADY_EXISTS CUSTOMER_EXISTS; FAILED_PRECONDITION CUSTOMER_ERASED; INVALID_ARGUMENT (a
 * blank name or country).
 */
export function register(state: CustomerState, details: CustomerRegistered): CustomerEvent[] {
  assertNotErased(state);
  if (state.customerId !== '') {
    throw new CaudalError('ALREADY_EXISTS', 'CUSTOMER_EXISTS', `There is a customer "${details.customerId}" already.`);
  }
  assertNotBlank(details);
  return [{ $case: 'registered', value: details }];
}

/**
 * Changes the given details; undefined leaves a detail as it is. Refused: NOT_FOUND; FAILED_PRECONDITION CUSTOMER_ERASED;
 * INVALID_ARGUMENT (a blank name or country).
 */
export function update(
  state: CustomerState,
  customerId: string,
  changed: { [Name in keyof CustomerUpdated]?: CustomerUpdated[Name] | undefined },
): CustomerEvent[] {
  assertThere(state, customerId);
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

/** Erases the customer. A customer that is erased stays so. Refused: NOT_FOUND. */
export function erase(state: CustomerState, customerId: string): CustomerEvent[] {
  if (state.eraseTime) return [];
  if (state.customerId === '') throw notFound('customer', customerId);
  return [{ $case: 'erased', value: { customerId } }];
}

/**
 * Records that the address was verified elsewhere. Refused: NOT_FOUND; FAILED_PRECONDITION CUSTOMER_ERASED, EMAIL_CHANGED.
 */
export function markVerified(state: CustomerState, customerId: string, email: string): CustomerEvent[] {
  assertThere(state, customerId);
  if (state.details.email !== email)
    throw refused('EMAIL_CHANGED', 'The customer has another address than the one that was verified.');
  return state.verification.verified ? [] : [{ $case: 'emailVerified', value: { customerId } }];
}

/** Asks for a mail with a code. Refused: NOT_FOUND; FAILED_PRECONDITION CUSTOMER_ERASED, NO_EMAIL, VERIFICATIONS_TOO_MANY. */
export function requestVerification(
  state: CustomerState,
  { now }: DecisionContext,
  wanted: { customerId: string; verificationId: string; code: string },
): CustomerEvent[] {
  assertThere(state, wanted.customerId);
  const { details, verification } = state;
  if (details.email === '') throw refused('NO_EMAIL', 'The customer has no address that could be verified.');
  if (verification.verified) return [];
  if (verification.requests.filter((at) => at > hourBefore(now)).length >= requestsAnHour)
    throw refused(
      'VERIFICATIONS_TOO_MANY',
      `The customer was sent ${requestsAnHour} codes within an hour. Try again later.`,
    );
  const expireTime = new Date(now.getTime() + hourMs);
  return [{ $case: 'emailVerificationRequested', value: { ...wanted, email: details.email, expireTime } }];
}

/**
 * Verifies the address by a code, whose comparison is up to the caller. A wrong code is an event, since it counts: then the
 * state's address is not verified after it. Refused: NOT_FOUND; FAILED_PRECONDITION CUSTOMER_ERASED, VERIFICATION_ENDED.
 */
export function verify(
  state: CustomerState,
  { now }: DecisionContext,
  customerId: string,
  isRight: (code: string) => boolean,
): CustomerEvent[] {
  assertThere(state, customerId);
  const { verified, pending } = state.verification;
  if (verified) return [];
  if (!pending || pending.expireTime <= now || pending.failures >= attempts)
    throw refused('VERIFICATION_ENDED', 'There is no code that is still good: request another mail.');
  if (isRight(pending.code)) return [{ $case: 'emailVerified', value: { customerId } }];
  return [{ $case: 'emailVerificationFailed', value: { verificationId: pending.verificationId } }];
}

const hourMs = 3_600_000;
/** The mails with codes that a customer can ask for within an hour. */
const requestsAnHour = 3;
/** The attempts at a code. */
const attempts = 5;

const hourBefore = (now: Date) => new Date(now.getTime() - hourMs);

function assertThere(state: CustomerState, customerId: string): void {
  assertNotErased(state);
  if (state.customerId === '') throw notFound('customer', customerId);
}

function assertNotErased({ eraseTime, customerId }: CustomerState): void {
  if (eraseTime)
    throw refused('CUSTOMER_ERASED', `The customer "${customerId}" was erased. The id can't be used any more.`);
}

/** Throws INVALID_ARGUMENT for a text of blanks. An empty one is right: it says that nothing is known. */
function assertNotBlank({ displayName, country }: { displayName?: string | undefined; country?: string | undefined }) {
  for (const [field, text] of Object.entries({ display_name: displayName, country }))
    if (text && text.trim() === '') throw invalidField(field, 'must not be blank; an empty text leaves it open');
}

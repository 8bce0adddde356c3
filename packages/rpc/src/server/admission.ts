/**
 * Admits a call as soon as its headers are there: a free place, then the caller, its permission, its rate, and its share of the
 * places. So nothing is kept of the body of a call that is refused.
 */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { type Caller, isService } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { HeaderReader } from '../headers.ts';
import { checkPermission, type Grant } from './access.ts';
import { addressOf, networkOf, type TrustedProxies } from './address.ts';
import { anyone } from './caller.ts';
import type { Endpoint } from './endpoint.ts';
import { type MethodBytes, openMethodBytes } from './method-bytes.ts';
import type { Patience } from './patience.ts';
import { busy, type Party, type Place, type Places } from './places.ts';
import { openPool } from './pool.ts';
import type { CountedCall, RateLimits } from './rate-limits.ts';
import { boundOf } from './request-size.ts';

export interface AdmissionLimits {
  /** The most bytes of a request, for methods without a bound in the contract. */
  maxMessageBytes: number;
  /** The most time of a request's body or message, in milliseconds; see `watchArrival` of patience.ts. */
  requestBodyMs: number;
  /** The most time in which a caller must read its answer, in milliseconds. */
  answerMs: number;
}

/** Calls whose tokens are being checked; an address gets half of these. */
const maxChecks = 1_024;

export interface AdmissionOptions {
  places: Places;
  rates: RateLimits;
  trusted: TrustedProxies;
  patience: Patience;
  limits: AdmissionLimits;
}

export interface Admitted {
  /** Undefined for a webhook, whose signature is over the body. */
  caller: Caller | undefined;
  address: string;
  place: Place;
  /** The call in its caller's quota; undefined if that is not limited. */
  counted: CountedCall | undefined;
  /** Lets go of the place, on the part of the connection. */
  leave(): void;
}

export interface Admission {
  /** The error for a further call; undefined while there is a free place. */
  full(): CaudalError | undefined;
  /** The address of a call, from that of its connection and its headers. */
  address(peer: string | undefined, header: HeaderReader): string;
  /**
   * Who calls from this address. Rejects with SERVER_BUSY if too many tokens are being checked, since each of these calls may hold
   * what HTTP/2 has received of it meanwhile.
   */
  known(address: string, find: Find): Caller | Promise<Caller>;
  /** The same for a check that has not begun, and never does if there are too many. */
  checked(address: string, find: Find): Promise<Caller>;
  /** Throws TOO_MANY_FAILED_CHECKS if so many checks of this address have failed. */
  mayCheck(address: string): void;
  /** Counts this error for the address, if it says that a token, key or signature was wrong. */
  countFailed(address: string, error: unknown): void;
  /** Throws the error to answer. `caller` is undefined for a webhook. */
  admit(endpoint: Endpoint, caller: Caller | undefined, address: string): Admitted;
  /** Counts a further message of a stream in its caller's quota; undefined if that is not limited. Throws RATE_LIMITED. */
  count(endpoint: Endpoint, party: Party): CountedCall | undefined;
  /** Waits for the turn of a message of a stream; undefined if its method bounds no bytes in flight. See method-bytes.ts. */
  turn(endpoint: Endpoint, party: Party, bytes: number, signal: AbortSignal): Promise<() => void> | undefined;
  patience: Patience;
  limits: AdmissionLimits;
}

/** Finds who calls. `mayCheck` is called before something is checked that was not found right before. */
type Find = (mayCheck: () => void) => Caller | Promise<Caller>;

/** A caller without a token, by its network. The blank keeps it apart from the subjects of tokens. */
export const nobody = (address: string): Party => ({ key: `address ${networkOf(address)}`, kind: 'nobody' });

function partyOf(contract: MethodContract, caller: Caller, grant: Grant, address: string): Party {
  if (caller === anyone) return nobody(address);
  const key = caller.subject;
  if (isService(caller)) return { key, kind: 'own' };
  return { key, kind: grant.any || isForStaff(contract) ? 'any' : 'caller' };
}

/** Whether something was shown, and wrong. To find nothing costs nothing. */
const isWrong = (error: unknown): boolean =>
  error instanceof CaudalError && error.code === 'UNAUTHENTICATED' && !error.reason.endsWith('_MISSING');

/** Changes of what has no owner, such as products and stock, are not for buyers: their permission has no other form. */
const isForStaff = ({ access, noSideEffects }: MethodContract): boolean =>
  !noSideEffects && access.permission !== '' && access.ownerField === undefined && !access.ownerInResource;

export function openAdmission({ places, rates, trusted, patience, limits }: AdmissionOptions): Admission {
  const checks = openPool(maxChecks, 1);
  /** By path, of methods that bound the bytes of their calls in flight. */
  const ofMethods = new Map<string, MethodBytes>();
  const bytesOf = ({ path, maxBytesInFlight }: MethodContract): MethodBytes | undefined => {
    if (maxBytesInFlight === undefined) return undefined;
    let bytes = ofMethods.get(path);
    if (!bytes) {
      bytes = openMethodBytes(maxBytesInFlight);
      ofMethods.set(path, bytes);
    }
    return bytes;
  };
  const mayCheck = (address: string) => rates.mayCheck(networkOf(address));
  const countFailed = (address: string, error: unknown) => {
    if (isWrong(error)) rates.countFailed(networkOf(address));
  };
  const failed = (address: string, error: unknown): never => {
    countFailed(address, error);
    throw error;
  };
  return {
    full: places.full,
    patience,
    limits,
    address: (peer, header) => addressOf(peer, header('x-forwarded-for'), trusted),
    known(address, find) {
      let done: (() => void) | undefined;
      // Before the check begins: a burst of wrong tokens would otherwise be checked whole.
      const caller = find(() => {
        mayCheck(address);
        done ??= checks.take(networkOf(address));
        if (!done) throw busy();
      });
      if (!(caller instanceof Promise)) return caller;
      const counted = caller.catch((error) => failed(address, error));
      // One that is remembered, and has to be looked at again.
      done ??= checks.take(networkOf(address));
      if (done) return counted.finally(done);
      counted.catch(() => {});
      return Promise.reject(busy());
    },
    async checked(address, find) {
      const done = checks.take(networkOf(address));
      if (!done) throw busy();
      try {
        return await find(() => mayCheck(address));
      } catch (error) {
        return failed(address, error);
      } finally {
        done();
      }
    },
    mayCheck,
    countFailed,
    count: ({ contract }, party) => rates.count(contract, party),
    turn: ({ contract }, { key }, bytes, signal) => bytesOf(contract)?.turn(key, bytes, signal),
    admit(endpoint, caller, address) {
      const { contract } = endpoint;
      // A webhook's caller is known only by its body, so it counts as the address until then.
      const party = caller ? partyOf(contract, caller, checkPermission(contract, caller), address) : nobody(address);
      const counted = rates.count(contract, party);
      const { place, leave } = places.enter(party, boundOf(contract, limits.maxMessageBytes));
      // The messages of a stream take turns instead.
      const bytes = contract.stream ? undefined : bytesOf(contract);
      return { caller, address, counted, ...(bytes?.within(place, leave) ?? { place, leave }) };
    },
  };
}

/** The choice of an address for one call, without connections: what each policy does with those that can be reached. */
import { fnv1a } from '@caudal/kernel/fnv1a.ts';
import type { Balancing } from './balancing.ts';

/** An address of the service, and what is known of it. */
export interface Address {
  /** `10.0.0.7:9090`. */
  readonly name: string;
  /** Calls of this client that it has not answered yet. */
  inFlight: number;
  /** What it has saved up for its next turn, by its weight. */
  credit: number;
}

/** Chooses one of these, of which there is at least one. `header` reads a header of the call. */
export type Choose = <A extends Address>(addresses: readonly A[], header: (name: string) => string | undefined) => A;

/** A new choice of the policy. It may keep what it needs from call to call. */
export function choiceOf(balancing: Balancing): Choose {
  let turn = 0;
  switch (balancing.policy) {
    case 'round-robin':
      return (addresses) => inTurn(addresses, turn++);
    case 'least-requests':
      return (addresses) => leastRequests(addresses, turn++);
    case 'weighted': {
      const weights = new Map(Object.entries(balancing.weights));
      return (addresses) => weighted(addresses, (name) => weights.get(name) ?? weights.get(hostOf(name)) ?? 1);
    }
    case 'consistent-hash':
      return (addresses, header) => {
        const value = header(balancing.header);
        return value ? byHash(addresses, value) : inTurn(addresses, turn++);
      };
  }
}

const inTurn = <A>(addresses: readonly A[], turn: number): A => addresses[turn % addresses.length]!;

const hostOf = (name: string) => name.replace(/:\d+$/, '');

/** Of those with as few calls in flight, each in turn. */
function leastRequests<A extends Address>(addresses: readonly A[], turn: number): A {
  let best = inTurn(addresses, turn);
  for (let place = 1; place < addresses.length; place++) {
    const other = inTurn(addresses, turn + place);
    if (other.inFlight < best.inFlight) best = other;
  }
  return best;
}

/** nginx' smooth weighted round robin: with the weights 2 and 1 it is a, b, a, and not a, a, b. */
function weighted<A extends Address>(addresses: readonly A[], weightOf: (name: string) => number): A {
  let best = addresses[0]!;
  let all = 0;
  for (const address of addresses) {
    const weight = weightOf(address.name);
    address.credit += weight;
    all += weight;
    if (address.credit > best.credit) best = address;
  }
  best.credit -= all;
  return best;
}

/**
 * Rendezvous hashing: the address that weighs most for this value. When one goes, only its own values move, and to all others alike.
 */
function byHash<A extends Address>(addresses: readonly A[], value: string): A {
  let best = addresses[0]!;
  let most = -1;
  for (const address of addresses) {
    const weight = mixed(fnv1a(`${address.name}\n${value}`));
    if (weight > most || (weight === most && address.name < best.name)) [best, most] = [address, weight];
  }
  return best;
}

/** FNV-1a of similar texts differs little in its high bits: they are mixed (the finalizer of MurmurHash3). */
function mixed(of: number): number {
  let hash = Math.imul(of ^ (of >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

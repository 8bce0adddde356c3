/** How a client chooses among the addresses of a service: docs/balancing.md. */

/** Plain data that JSON keeps as it is: it is part of the channel's service config. */
export type Balancing =
  | { policy: 'round-robin' | 'least-requests' }
  /** By address, with its port or without; an address that is not there has the weight 1. */
  | { policy: 'weighted'; weights: Record<string, number> }
  /** Calls with the same value of this header go to the same address. */
  | { policy: 'consistent-hash'; header: string };

export const balancingExpects =
  'round-robin, least-requests, weighted:ADDRESS=WEIGHT,... or consistent-hash:HEADER, such as weighted:10.0.0.7=3';

const maxWeight = 1_000;

/** Throws an Error that says what is wrong, and with which part. */
export function parseBalancing(text: string): Balancing {
  const end = text.indexOf(':');
  const [policy, rest] = end < 0 ? [text, undefined] : [text.slice(0, end), text.slice(end + 1)];
  switch (policy) {
    case 'round-robin':
    case 'least-requests':
      if (rest !== undefined) throw new Error(`"${policy}" has nothing behind it`);
      return { policy };
    case 'weighted':
      return { policy, weights: weightsOf(rest ?? '') };
    case 'consistent-hash':
      // Binary headers are not texts.
      if (!/^[a-z0-9][a-z0-9_-]{0,63}$/.test(rest ?? '') || rest!.endsWith('-bin'))
        throw new Error(`"${text}" has no header in lower case, such as consistent-hash:caudal-correlation-id`);
      return { policy, header: rest! };
    default:
      throw new Error(`"${policy}" is none of round-robin, least-requests, weighted, consistent-hash`);
  }
}

function weightsOf(text: string): Record<string, number> {
  const weights = new Map<string, number>();
  for (const part of text.split(',').map((word) => word.trim())) {
    const [, address = '', digits] = /^([\w.:[\]-]{1,100})=(\d{1,4})$/.exec(part) ?? [];
    const weight = Number(digits);
    if (!(weight >= 1 && weight <= maxWeight))
      throw new Error(`"${part}" is not ADDRESS=WEIGHT, with a weight from 1 to ${maxWeight}`);
    if (weights.has(address)) throw new Error(`"${address}" is there twice`);
    weights.set(address, weight);
  }
  return Object.fromEntries(weights);
}

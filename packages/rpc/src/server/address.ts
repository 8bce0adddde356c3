/** The address that a call comes from: that of its connection or, behind proxies that are trusted, what they say of it. */
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';

/** The proxies whose `X-Forwarded-For` is believed. */
export interface TrustedProxies {
  has(address: string): boolean;
}

/** The proxies in these addresses and networks: `10.0.0.0/8`, `::1`. Throws an Error that names what is neither. */
export function trustedProxies(texts: readonly string[]): TrustedProxies {
  const list = new BlockList();
  for (const text of texts) {
    const [address = '', bits, ...others] = text.split('/');
    const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : undefined;
    const most = family === 'ipv4' ? 32 : 128;
    const length = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
    if (!family || others.length > 0 || length < 0 || length > most || address.includes('%'))
      throw new Error(`"${text}" is no IP address and no network, such as 10.0.0.0/8 or fd00::/8`);
    // Of everybody it would be believed.
    if (length === 0)
      throw new Error(`"${text}" is every address, and then callers could choose their own: name your proxies`);
    list.addSubnet(address, length, family);
  }
  if (texts.length === 0) return { has: () => false };
  return {
    has: (address) => {
      const family = isIP(address);
      return family > 0 && list.check(address, family === 4 ? 'ipv4' : 'ipv6');
    },
  };
}

const unknown = 'unknown';
/** Proxies one behind the other; more than anybody has. */
const maxHops = 20;
const maxHeaderCharacters = 1_500;

/**
 * The caller's address, from the end of `X-Forwarded-For` as far as trusted proxies have written it. `unknown` if the
 * connection has none.
 */
export function addressOf(peer: string | undefined, forwardedFor: string | undefined, trusted: TrustedProxies): string {
  let address = normalized(peer ?? '') ?? unknown;
  if (!forwardedFor || !trusted.has(address)) return address;
  // Its sender writes the beginning, and could make it as long as it likes.
  const hops = forwardedFor.slice(-maxHeaderCharacters).split(',').slice(-maxHops);
  // A proxy that hides an address says "unknown". It must not become the proxy's own.
  while (hops.length > 0 && trusted.has(address)) address = normalized(hops.pop()!.trim()) ?? unknown;
  return address;
}

/** An address without a port, brackets, a zone, and the prefix of IPv4 in IPv6; undefined if it is none. */
function normalized(text: string): string | undefined {
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? (/^[\d.]+:\d+$/.test(text) ? text.split(':')[0]! : text);
  const [address = ''] = bare.split('%');
  const four = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
  return isIP(four) > 0 ? four.toLowerCase() : undefined;
}

/** What an address counts as: of IPv6 its network of 64 bits, since a subscriber has at least so many addresses. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const after = tail === '' ? 0 : tail.split(':').length + (tail.includes('.') ? 1 : 0);
    while (groups.length + after < 8) groups.push('0');
    if (tail !== '') groups.push(...tail.split(':'));
  }
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`;
}

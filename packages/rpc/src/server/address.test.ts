import { describe, expect, test } from '@jest/globals';
import { addressOf, networkOf, trustedProxies } from './address.ts';

const kong = trustedProxies(['10.0.0.0/8', 'fd00::/8', '192.0.2.7']);

describe('the address of a call', () => {
  test.each([
    ['from anybody: the header is not believed', '203.0.113.9', '198.51.100.1', '203.0.113.9'],
    ['from a proxy without the header', '10.1.2.3', undefined, '10.1.2.3'],
    ['from a proxy', '10.1.2.3', '198.51.100.1', '198.51.100.1'],
    ['from a proxy over IPv6', '::ffff:10.1.2.3', '2001:DB8::1', '2001:db8::1'],
    ['what the caller has written before is not believed', '10.1.2.3', '1.2.3.4, 198.51.100.1', '198.51.100.1'],
    ['through two proxies', '10.1.2.3', '1.2.3.4, 198.51.100.1, 192.0.2.7', '198.51.100.1'],
    ['through two networks', 'fd00::9', '198.51.100.1, 10.9.9.9', '198.51.100.1'],
    ['with ports and brackets', '10.1.2.3', '[2001:db8::2]:4711', '2001:db8::2'],
    ['with a port', '10.1.2.3', '198.51.100.1:4711', '198.51.100.1'],
    ['that a proxy hides is not the proxy', '10.1.2.3', 'unknown', 'unknown'],
    ['that is no address is not the proxy', '10.1.2.3', '1.2.3.4, x', 'unknown'],
    ['behind a long beginning', '10.1.2.3', `${'1.1.1.1, '.repeat(5_000)}198.51.100.1`, '198.51.100.1'],
    ['of a connection that has ended', undefined, undefined, 'unknown'],
    ['only proxies', '10.1.2.3', '10.4.4.4', '10.4.4.4'],
  ])('%s', (_, peer, header, address) => {
    expect(addressOf(peer, header, kong)).toBe(address);
  });

  test('at most 20 proxies are passed', () => {
    const header = ['198.51.100.1', ...Array.from({ length: 30 }, (_, n) => `10.0.0.${n}`)].join(',');
    expect(addressOf('10.1.2.3', header, kong)).toBe('10.0.0.10');
  });

  test('without trusted proxies it is that of the connection', () => {
    expect(addressOf('10.1.2.3', '198.51.100.1', trustedProxies([]))).toBe('10.1.2.3');
  });
});

test.each([
  ['198.51.100.1', '198.51.100.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:0db8:0001:0002::1', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['unknown', 'unknown'],
])('%s counts as %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});

test.each(['kong', '10.0.0.0/33', '::/129', '10.0.0.0/8/8', '10.0.0.0/', 'fe80::1%eth0', ''])(
  'the proxy "%s" is refused',
  (text) => {
    expect(() => trustedProxies([text])).toThrow('is no IP address and no network');
  },
);

test.each(['0.0.0.0/0', '::/0'])('%s would let callers choose their address', (text) => {
  expect(() => trustedProxies([text])).toThrow('name your proxies');
});

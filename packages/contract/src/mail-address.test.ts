import { describe, expect, test } from '@jest/globals';
import { asciiDomainOf, mailAddressProblem } from './mail-address.ts';

describe('mail addresses', () => {
  test.each([
    'ada@example.org',
    'ada+shop@example.org',
    "o'neil.a_b@sub.example.co.uk",
    'a@1.example',
    `${'a'.repeat(64)}@example.org`,
    'ñandú@example.org',
    '用户@例子.广告',
    'अजय@डाटा.भारत',
    'квіточка@пошта.укр',
    'θσερ@εχαμπλε.ψομ',
    'Dörte@Sörensen.example',
    'Dörte@xn--srensen-90a.example',
    'کاربر\u200cیک@example.org',
    'ada@bücher.example',
    // What keyboards of Chinese and Japanese write: a full stop that is a dot of domains (UTS 46).
    'ada@例子。广告',
    'ada@ｅｘａｍｐｌｅ.org',
    '😀@example.org',
  ])('%s is one', (address) => {
    expect(mailAddressProblem(address)).toBeUndefined();
  });

  test.each([
    '',
    'ada',
    '@example.org',
    'ada@',
    'ada@@example.org',
    'ada@exa mple.org',
    'ada lovelace@example.org',
    'ada\u00a0l@example.org',
    'ada\u2028l@example.org',
    'ada\u202el@example.org',
    'ada\u200bl@example.org',
    'ada\0@example.org',
    'ada\ud800@example.org',
    'ada@\ud800.org',
    '"ada lovelace"@example.org',
    '.ada@example.org',
    'ada.@example.org',
    'a..b@example.org',
    'ada＠example.org',
    'ada@[127.0.0.1]',
    'ada@127.0.0.1',
    'ada@1',
    'root@localhost',
    'ada@example..org',
    'ada@.example.org',
    'ada@example.org.',
    'ada@-example.org',
    'ada@example-.org',
    'ada@bücher.example/path',
    'ada@bücher.example:25',
    'ada@bü cher.example',
    'ada@bücher..example',
    'Ada <ada@example.org>',
    'ada@example.org, eve@example.org',
    `ada@${'a'.repeat(64)}.org`,
    // Short in UTF-8, and longer in ASCII than a label may be.
    `ada@${'ü'.repeat(62)}.example`,
  ])('%j is none', (address) => {
    expect(mailAddressProblem(address)).toMatch(/^must be an e-mail address/);
  });

  test.each([
    ['a..b@x.gr', 'its name must have single dots only, between other characters'],
    ['.a@x.gr', 'its name must have single dots only, between other characters'],
    ['"a b"@x.gr', 'its name must not be in quotes, nor have any'],
    ['a b@x.gr', 'it must have no blanks'],
    ['a@x.gr ', 'it must have no blanks'],
    [' a@x.gr', 'it must have no blanks'],
    ['a@x..gr', 'behind the @ it must have a domain, like shop.example.org'],
    ['a@', 'behind the @ it must have a domain, like shop.example.org'],
    ['a,b@x.gr', 'its name has a character that addresses do not have'],
    ['a＠x.gr', 'name@domain, with the sign @ of ASCII'],
  ])('of %j it is said why', (address, why) => {
    expect(mailAddressProblem(address)).toBe(`must be an e-mail address: ${why}`);
  });

  test('the local part is composed: another form of its characters would be another mailbox', () => {
    for (const name of ['ｄａ', 'e\u0301', 'ﬁona', '①'])
      expect(mailAddressProblem(`${name}@example.org`)).toContain('NFKC');
  });

  test('lengths are counted in bytes of UTF-8, and of the domain in ASCII', () => {
    expect(mailAddressProblem(`${'a'.repeat(65)}@example.org`)).toBe('must have at most 64 bytes before the @');
    expect(mailAddressProblem(`${'ü'.repeat(32)}@example.org`)).toBeUndefined();
    expect(mailAddressProblem(`${'ü'.repeat(33)}@example.org`)).toBe('must have at most 64 bytes before the @');
    const part = 'a'.repeat(59);
    const domain = `${part}.${part}.${part}.org`;
    expect(domain).toHaveLength(183);
    expect(mailAddressProblem(`${'a'.repeat(64)}@${domain}.${'b'.repeat(5)}`)).toBeUndefined();
    expect(mailAddressProblem(`${'a'.repeat(64)}@${domain}.${'b'.repeat(6)}`)).toBe('must have at most 254 bytes');
    expect(mailAddressProblem('a'.repeat(10_000_000))).toBe('must have at most 254 bytes');
  });

  test('the sender may be of a host of the own network', () => {
    expect(mailAddressProblem('orders@localhost', { hosts: true })).toBeUndefined();
  });

  test('the domain has a form in ASCII, which the DNS has', () => {
    expect(asciiDomainOf('ada@Bücher.example')).toBe('xn--bcher-kva.example');
    expect(asciiDomainOf('ada@Example.org')).toBe('Example.org');
  });
});

import { X509Certificate } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { hasName } from './has-name.ts';
import { makeAuthority } from './testing/certificates.ts';

const name = 'caudal.shop.svc';
const authority = makeAuthority();
const certificate = (...names: string[]) => new X509Certificate(authority.make(names).certificate).toLegacyObject();

test.each([[[name]], [['other.test', name, '127.0.0.1']], [['Caudal.Shop.svc']]])('%j has the name', (names) => {
  expect(hasName(certificate(...names), name)).toBe(true);
});

test.each([
  ['a wildcard', ['*.shop.svc']],
  ['a name below it', [`pod.${name}`]],
  ['a longer one', [`${name}.example.test`]],
  ['an address', ['127.0.0.1']],
  ['a URI with a comma', [`spiffe://x/a, DNS:${name}, b`]],
  ['a URI that ends so', [`spiffe://x/a, DNS:${name}`]],
  ['a URI with quotes', [`spiffe://x/a", DNS:${name}, "b`]],
  ['a DNS name with a comma', [`x.test, DNS:${name}, y.test`]],
  ['the name with a zero after it', [`${name}\0.example.test`]],
])('%s is not the name', (_, names) => {
  expect(hasName(certificate(...names), name)).toBe(false);
});

test('the subject is none, and a name with a dot before it stands for no other', () => {
  // The first name is the subject.
  const named = new X509Certificate(authority.make([name], { alternatives: ['other.test'] }).certificate);
  expect(named.subject).toBe(`CN=${name}`);
  expect(hasName(named.toLegacyObject(), name)).toBe(false);
  expect(hasName(certificate(name), '.shop.svc')).toBe(false);
});

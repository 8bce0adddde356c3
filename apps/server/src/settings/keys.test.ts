import { generateKey } from '@caudal/rpc/server/tokens.ts';
import { beforeAll, expect, test } from '@jest/globals';
import { parseKeySet, parseSigningKey } from './keys.ts';

let pair: Awaited<ReturnType<typeof generateKey>>;
beforeAll(async () => {
  pair = await generateKey('mine');
});

test('a set of public keys, a URL, and a private key are accepted', () => {
  expect(parseKeySet(JSON.stringify({ keys: [pair.publicKey] }))).toEqual({ keys: [pair.publicKey] });
  expect(parseKeySet('https://issuer.test/jwks')).toEqual(new URL('https://issuer.test/jwks'));
  expect(parseSigningKey(JSON.stringify(pair.privateKey))).toEqual(pair.privateKey);
});

test('a private key among the public ones is named, and not shown', () => {
  const text = JSON.stringify({ keys: [pair.publicKey, { ...pair.privateKey, kid: 'careless' }] });
  expect(() => parseKeySet(text)).toThrow('the key "careless" is a private key');
  expect(() => parseKeySet('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}')).toThrow('key 1 is a private key');
});

test.each([
  ['{', 'not a JSON object'],
  ['[]', 'no list "keys"'],
  ['{"keys": []}', 'no key'],
  ['{"keys": [1]}', 'key 1 is not a JSON Web Key'],
  ['{"keys": [{"kty": "OKP", "kid": "odd"}]}', 'the key "odd" can\'t be read'],
  ['http://', 'not a valid URL'],
])('CAUDAL_JWKS may not be %s', (text, wrong) => {
  expect(() => parseKeySet(text)).toThrow(wrong);
});

test.each([
  ['secret-word', 'not a JSON object'],
  ['{"kty": 1}', 'not a JSON Web Key'],
  ['{"kty": "OKP", "d": "secret-word"}', "can't be read"],
])('CAUDAL_SERVICE_KEY may not be %s, and none of it is shown', (text, wrong) => {
  const parse = () => parseSigningKey(text);
  expect(parse).toThrow(wrong);
  expect(parse).not.toThrow('secret-word');
});

test('CAUDAL_SERVICE_KEY may not be a public key', () => {
  expect(() => parseSigningKey(JSON.stringify(pair.publicKey))).toThrow('a public key');
});

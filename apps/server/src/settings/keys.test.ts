import { generateKey } from '@caudal/rpc/server/tokens.ts';
import { beforeAll, expect, test } from '@jest/globals';
import { contextsInRole, parseIssuer, parseKeySet, parseServiceKeySet, parseSigningKey, publicHalf } from './keys.ts';

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

test('a file is accepted, and an issuer as it is written', () => {
  expect(parseKeySet('file:///run/keys.json')).toEqual(new URL('file:///run/keys.json'));
  for (const wrong of ['file://host/keys.json', 'file:///']) expect(() => parseKeySet(wrong)).toThrow('names no file');
  for (const issuer of ['https://issuer.test', 'https://issuer.test/', 'http://127.0.0.1:9000/realms/shop'])
    expect(parseIssuer(issuer)).toBe(issuer);
  for (const wrong of ['issuer.test', 'ftp://issuer.test', 'https://a:b@issuer.test', 'https://issuer.test?a=1'])
    expect(() => parseIssuer(wrong)).toThrow();
});

test('a key stands for its contexts in its roles only; one without roles in all', () => {
  const of = (roles: object, role: string) =>
    contextsInRole({ ...pair.publicKey, ...{ caudal_contexts: ['orders'] }, ...roles }, role);
  expect(of({}, 'command')).toEqual(['orders']);
  expect(of({ caudal_roles: ['command'] }, 'command')).toEqual(['orders']);
  expect(of({ caudal_roles: ['projector', 'query'] }, 'command')).toEqual([]);
  expect(of({ caudal_roles: ['relay'] }, 'relay')).toEqual(['orders']);
});

test('the public half of a key has no secret, and checks its tokens', () => {
  expect(publicHalf(pair.privateKey)).toEqual(pair.publicKey);
  expect(publicHalf({ kty: 'RSA', n: 'n', e: 'e', d: 'd', p: 'p', q: 'q', kid: 'r' })).toEqual({
    ...{ kty: 'RSA', n: 'n', e: 'e', kid: 'r', use: 'sig' },
  });
});

test.each<[string, (key: object) => object[], string]>([
  ['no name', (key) => [{ ...key, kid: undefined }], 'key 1 has no "kid"'],
  ['the name of another', (key) => [key, key], 'the key "mine" is there twice'],
  ['no contexts', (key) => [{ ...key, caudal_contexts: undefined }], 'the key "mine" has no "caudal_contexts"'],
  ['an empty list of contexts', (key) => [{ ...key, caudal_contexts: [] }], 'has no "caudal_contexts"'],
  ['roles that are no list', (key) => [{ ...key, caudal_roles: 'relay' }], '"mine" has "caudal_roles" that is no list'],
  ['an empty list of roles', (key) => [{ ...key, caudal_roles: [] }], '"caudal_roles" that is no list of roles'],
])('a key of CAUDAL_SERVICE_JWKS may not have %s', (_, keysOf, wrong) => {
  const good = { ...pair.publicKey, caudal_contexts: ['orders'] };
  expect(parseServiceKeySet(JSON.stringify({ keys: [good] }))).toEqual({ keys: [good] });
  expect(() => parseServiceKeySet(JSON.stringify({ keys: keysOf(good) }))).toThrow(wrong);
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

test('CAUDAL_SERVICE_KEY may not have a name that is too long for messages', () => {
  expect(() => parseSigningKey(JSON.stringify({ ...pair.privateKey, kid: 'k'.repeat(256) }))).toThrow(
    'its "kid" is longer than 255 characters',
  );
});

test('CAUDAL_SERVICE_KEY may not be a public key', () => {
  expect(() => parseSigningKey(JSON.stringify(pair.publicKey))).toThrow('a public key');
});

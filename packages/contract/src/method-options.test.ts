/** The options of a method, and wrong ones: each is refused by name when the contract is read. */
import { create, createFileRegistry, type DescExtension, setExtension, toBinary } from '@bufbuild/protobuf';
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MethodOptions_IdempotencyLevel,
  MethodOptionsSchema,
} from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from '@jest/globals';
import { contract, load, type MethodContract } from './descriptors.ts';

interface Options {
  /** The type of the request; Thing if absent. */
  request?: 'Plain';
  access?: object;
  http?: object;
  success_status?: number;
  max_request_bytes?: number;
  max_bytes_in_flight?: number;
  rate_limit?: number;
  reads?: object;
  raw_body?: object;
}

const path = '/caudal.bare.v1.BareService/Do0';
/** Only the declarations of the options: to read the whole contract takes ten times as long. */
const declarations = contract().files.file.filter(
  ({ name }) => !name.startsWith('caudal/') || name === 'caudal/options.proto',
);
const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: declarations }));
const extension = (name: string): DescExtension => registry.getExtension(name)!;
const field = (name: string, number: number) => ({ name, number, type: 9, label: 1, jsonName: name });

/** The methods of a contract whose service has the methods Do0, Do1, ... with these options. */
function withMethods(...all: Options[]): MethodContract[] {
  const methods = all.map(({ request = 'Thing', access, http, reads, raw_body, ...numbers }, index) => {
    const options = create(MethodOptionsSchema);
    const set = (name: string, value: unknown) => setExtension(options, extension(name), value as never);
    const message = (name: string, value: object) => set(name, create(extension(name).message!, value as never));
    if (access) message('caudal.access', access);
    if (http) message('google.api.http', http);
    if (raw_body) message('caudal.raw_body', raw_body);
    if (reads) {
      message('caudal.reads', reads);
      options.idempotencyLevel = MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
    }
    for (const [name, value] of Object.entries(numbers)) if (value !== undefined) set(`caudal.${name}`, value);
    return {
      name: `Do${index}`,
      inputType: `.caudal.bare.v1.${request}`,
      outputType: '.caudal.bare.v1.Thing',
      options,
    };
  });
  const bare = create(FileDescriptorProtoSchema, {
    name: 'caudal/bare/v1/bare.proto',
    package: 'caudal.bare.v1',
    syntax: 'proto3',
    messageType: [
      { name: 'Thing', field: [field('request_id', 1), field('thing_id', 2)] },
      { name: 'Plain', field: [field('thing_id', 1)] },
    ],
    service: [{ name: 'BareService', method: methods }],
  });
  const { methods: read } = load(
    toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [...declarations, bare] })),
  );
  return read().filter(({ service }) => service === 'caudal.bare.v1.BareService');
}

const post = { pattern: { case: 'post', value: '/v1/things' }, body: '*' };
const get = { pattern: { case: 'get', value: '/v1/things/{thing_id}' } };
const token = { permission: 'bare.things.write' };
const webhook = { authentication: 3, webhookSecret: 'SHOP_THINGS_WEBHOOK_SECRET' };
const signed = { access: webhook, http: post, max_request_bytes: 100 };
const open = { access: { authentication: 4 }, http: post, max_request_bytes: 100 };

describe('options of a method', () => {
  test("that are absent: a token, 200, the server's bound, the default limit", () => {
    expect(withMethods({ access: token })).toMatchObject([
      {
        access: { authentication: 'TOKEN', internal: false, webhook: undefined },
        successStatus: 200,
        location: undefined,
        maxRequestBytes: undefined,
        maxBytesInFlight: undefined,
        rateLimit: 'DEFAULT',
      },
    ]);
  });

  test('internal is authentication by a service, in both ways to write it', () => {
    const service = { authentication: 'SERVICE', internal: true };
    const said = [{ internal: true }, { authentication: 2 }, { internal: true, authentication: 2 }];
    const methods = withMethods(...said.map((access) => ({ access: { ...token, ...access } })));
    expect(methods.map(({ access }) => access)).toMatchObject([service, service, service]);
  });

  test('a status, a bound and a limit', () => {
    const methods = withMethods(
      {
        access: token,
        http: post,
        success_status: 201,
        max_request_bytes: 1,
        max_bytes_in_flight: 65_536,
        rate_limit: 2,
      },
      { access: token, http: get, max_request_bytes: 16 * 1024 * 1024, rate_limit: 3 },
      { access: token, http: { ...post, pattern: { case: 'post', value: '/v1/x' } }, success_status: 202 },
      { access: token, rate_limit: 1 },
      { access: token, rate_limit: 4 },
      { access: token, rate_limit: 5 },
    );
    expect(methods[0]).toMatchObject({ successStatus: 201, location: '/v1/things/{thing_id}', maxRequestBytes: 1 });
    expect(methods.map(({ rateLimit }) => rateLimit)).toEqual([
      ...['LIGHT', 'HEAVY', 'DEFAULT', 'DEFAULT', 'WEBHOOK', 'UNLIMITED'],
    ]);
    expect(methods[0]!.maxBytesInFlight).toBe(65_536);
    expect([methods[1]!.maxRequestBytes, methods[2]!.successStatus]).toEqual([16_777_216, 202]);
  });

  test('a webhook is named by its secret; a public method has no permission', () => {
    const [first, second] = withMethods(signed, { ...open, http: get });
    expect(first!.access).toMatchObject({
      authentication: 'WEBHOOK',
      permission: '',
      webhook: { name: 'shop-things', secret: 'SHOP_THINGS_WEBHOOK_SECRET' },
    });
    expect(second!.access).toMatchObject({ authentication: 'NONE', permission: '', webhook: undefined });
  });
});

test('a raw body is for public methods, and names fields that fit', () => {
  const [plain] = withMethods(open);
  expect(plain!.rawBody).toBeUndefined();
  const to = (field: string) => ({ field, headers: [] });
  expect(() => withMethods({ access: token, http: post, raw_body: to('thing_id') })).toThrow('AUTHENTICATION_NONE');
  expect(() => withMethods({ ...open, http: get, raw_body: to('thing_id') })).toThrow('routes with the body "*"');
  // It is a text.
  expect(() => withMethods({ ...open, raw_body: to('thing_id') })).toThrow('no field "thing_id" of type bytes');
});

test('how a query is read, and what caches may do with it', () => {
  const [kept, strong, without] = withMethods(
    { access: token, http: get, reads: { shared: true, maxAgeSeconds: 5, staleWhileRevalidateSeconds: 30 } },
    { access: token, http: { pattern: { case: 'get', value: '/v1/others' } }, reads: { strength: 4 } },
    { access: token },
  );
  expect(kept!.reads).toEqual({
    ...{ strength: undefined, shared: true, maxAgeSeconds: 5 },
    ...{ staleWhileRevalidateSeconds: 30, staleIfErrorSeconds: 0 },
  });
  expect(strong!.reads).toMatchObject({ strength: 'STRONG', shared: false, maxAgeSeconds: 0 });
  expect(without!.reads).toMatchObject({ strength: undefined, shared: false, maxAgeSeconds: 0 });
});

test('a permission may name what the request is about', () => {
  const scoped = { permission: 'bare.things.read', internal: true, scopeField: 'thing_id' };
  expect(withMethods({ access: scoped }, { access: token }).map(({ access }) => access.scopeField)).toEqual([
    'thing_id',
    undefined,
  ]);
});

describe('are refused by name', () => {
  const routed = (value: string, fields = {}) => ({ ...post, pattern: { case: 'post', value }, ...fields });
  test.each<[string, Options, string]>([
    ['no access', {}, 'has no option (caudal.access)'],
    ['no permission', { access: {} }, 'a permission is <context>.<resource>.<verb>, not ""'],
    ['a permission of two words', { access: { permission: 'things.write' } }, 'not "things.write"'],
    ['a permission with :any', { access: { permission: 'a.b.c:any' } }, 'not "a.b.c:any"'],
    ['a scope that is no field', { access: { ...token, scopeField: 'size' } }, 'has no text field "size"'],
    [
      'a scope beside an owner',
      { access: { ...token, scopeField: 'thing_id', owner: { case: 'ownerField', value: 'thing_id' } } },
      'no owner beside it',
    ],
    [
      'a scope without a permission',
      { ...open, access: { authentication: 4, scopeField: 'thing_id' } },
      'scope_field needs a permission',
    ],
    ['a service without permission', { access: { authentication: 2 } }, 'a permission is'],
    [
      'an owner that is not a field',
      { access: { ...token, owner: { case: 'ownerField', value: 'x' } } },
      'no field "x"',
    ],
    ['an unknown authentication', { access: { ...token, authentication: 9 } }, '9 is an unknown authentication'],
    ['internal, and public', { access: { authentication: 4, internal: true } }, 'but AUTHENTICATION_NONE is given'],
    ['internal with a route', { access: { ...token, internal: true }, http: post }, 'has no REST route'],
    ['a secret without webhook', { access: { ...token, webhookSecret: 'A_WEBHOOK_SECRET' } }, 'webhook_secret needs'],

    [
      'a permission of a public method',
      { ...open, access: { ...token, authentication: 4 } },
      'NONE has none: remove it',
    ],
    [
      'an owner of a public method',
      { ...open, access: { authentication: 4, owner: { case: 'ownerInResource', value: true } } },
      'an owner is compared with a token',
    ],
    ['a public method without bound', { ...open, max_request_bytes: undefined }, 'set max_request_bytes'],
    [
      'a public method with more than 1 MiB',
      { ...open, max_request_bytes: 1024 * 1024 + 1 },
      'from 1 to 1048576, not 1048577',
    ],

    [
      'a webhook without secret',
      { ...signed, access: { authentication: 3 } },
      'webhook_secret: "<NAME>_WEBHOOK_SECRET"',
    ],
    [
      'a secret of another form',
      { ...signed, access: { authentication: 3, webhookSecret: 'THINGS_KEY' } },
      'not "THINGS_KEY"',
    ],
    ['a webhook with permission', { ...signed, access: { ...webhook, ...token } }, 'WEBHOOK has none'],
    ['a webhook without route', { ...signed, http: undefined }, 'needs a REST route'],
    ['a webhook with GET', { ...signed, http: { ...get, body: '' } }, 'signature covers its body only'],
    ['a webhook without body', { ...signed, http: { ...post, body: '' } }, 'signature covers its body only'],
    [
      'a webhook with an id in its path',
      { ...signed, http: routed('/v1/things/{thing_id}') },
      'not POST /v1/things/{thing_id}',
    ],
    ['a webhook without request_id', { ...signed, request: 'Plain' }, 'caudal.bare.v1.Plain needs a field request_id'],
    ['a webhook without bound', { ...signed, max_request_bytes: undefined }, 'set max_request_bytes'],

    ['another status', { access: token, http: post, success_status: 204 }, 'one of 200, 201, 202, not 204'],
    ['no status', { access: token, http: post, success_status: 0 }, 'not 0'],
    ['a status without route', { access: token, success_status: 202 }, 'has no effect without a REST route'],
    ['202 of a query', { access: token, http: get, success_status: 202 }, 'a GET route answers 200'],
    ['201 without a route to read it', { access: token, http: post, success_status: 201 }, 'a GET route below it'],

    ['no bytes', { access: token, max_request_bytes: 0 }, 'from 1 to 16777216, not 0'],
    ['fewer', { access: token, max_request_bytes: -1 }, 'not -1'],
    ['no bytes in flight', { access: token, max_bytes_in_flight: 0 }, 'must be 1 or more'],
    [
      'more bytes than any method may allow',
      { access: token, max_request_bytes: 16 * 1024 * 1024 + 1 },
      'not 16777217',
    ],
    ['caching of a command', { access: token, http: post, reads: { maxAgeSeconds: 5 } }, 'queries with a GET route'],
    ['an unknown strength', { access: token, http: get, reads: { strength: 9 } }, '9 is an unknown read strength'],
    ['the default strength', { access: token, http: get, reads: { strength: 2 } }, 'AT_LEAST is the default'],
    [
      'more than a day',
      { access: token, http: get, reads: { maxAgeSeconds: 86_401 } },
      'max_age_seconds must be from 0',
    ],
    ['shared for no time', { access: token, http: get, reads: { shared: true } }, 'without max_age_seconds'],
    [
      "shared, and the caller's own",
      {
        access: { ...token, owner: { case: 'ownerInResource', value: true } },
        http: get,
        reads: { shared: true, maxAgeSeconds: 5 },
      },
      'what has an owner must not be in shared caches',
    ],

    ['an unknown limit', { access: token, rate_limit: 6 }, '6 is an unknown rate limit'],
  ])('%s', (_, { ...options }, message) => {
    for (const [name, value] of Object.entries(options)) if (value === undefined) delete options[name as keyof Options];
    expect(() => withMethods(options)).toThrow(message);
    expect(() => withMethods(options)).toThrow(path);
  });

  test('two webhooks with one secret', () => {
    const second = { ...signed, http: routed('/v1/other') };
    expect(() => withMethods(signed, second)).toThrow('SHOP_THINGS_WEBHOOK_SECRET is the secret of');
  });

  test('a Location with fields that the answer lacks', () => {
    const elsewhere = { pattern: { case: 'get', value: '/v1/things/{other_id}' } };
    const created = { access: token, http: post, success_status: 201 };
    expect(() => withMethods(created, { access: token, http: elsewhere })).toThrow('/v1/things/{<field of Thing>}');
  });
});

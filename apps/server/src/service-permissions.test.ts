/** The permissions of contexts agree with what their code calls and follows, and keys are bound to them. */
import type { Settings } from '@caudal/config/config.ts';
import { loadConfig } from '@caudal/config/config.ts';
import type { CommandTools, Context } from '@caudal/context/context.ts';
import { logPermissions } from '@caudal/context/log-permissions.ts';
import { contract } from '@caudal/contract/descriptors.ts';
import { domainOf } from '@caudal/contract/entity.ts';
import type { Method } from '@caudal/contract/method.ts';
import { followedDomains } from '@caudal/projections/events.ts';
import { describe, expect, test } from '@jest/globals';
import type { JWK } from 'jose';
import { contexts } from './contexts.ts';
import { sagaDefinitions } from './handlers/definitions.ts';
import { allowedTo, askedFor, processCaller, withoutScope } from './service-permissions.ts';
import { type RuntimeValues, settings } from './settings/settings.ts';

const values = loadConfig(settings, { env: {} }) as RuntimeValues;

/** The domains of other contexts that a context's projections and sagas follow. */
async function followed(context: Context): Promise<string[]> {
  const sagas = await sagaDefinitions(context, values);
  const domains = new Set([
    ...context.projections.flatMap(({ projection }) => [...followedDomains(projection)]),
    ...sagas.flatMap(({ entities }) => [...entities].map(domainOf)),
  ]);
  return [...domains].filter((domain) => domain !== context.name).sort();
}

/** The services whose clients a context asks for when its parts are made, and when its jobs begin. */
async function called(context: Context): Promise<Set<string>> {
  const services = new Set<string>();
  const nothing = {} as never;
  const ending = new AbortController();
  const tools: CommandTools<Settings> = {
    ...{ database: {} as never, broker: undefined, tables: nothing },
    ...{ aggregates: nothing, clock: nothing, ids: nothing, sealed: nothing, openTexts: nothing },
    settings: { ...values, PAYMENTS_GATEWAY_URL: 'http://localhost' } as never,
    client(definition) {
      services.add((Object.values(definition) as [Method])[0].path.split('/')[1]!);
      return {} as never;
    },
  };
  const views = () => nothing;
  context.commands(tools);
  context.queries({ ...tools, archive: undefined, views, search: views, interest: () => nothing });
  await context.sagas({ ...tools, signal: ending.signal, development: false, tokenLifetimeMs: 0 });
  ending.abort();
  const run = { signal: ending.signal, token: 0, now: new Date(0) };
  // With tools that do nothing a job does not get far.
  for (const job of context.jobs ?? [])
    await (async () => job.run({ ...tools, log: nothing, views } as never, run))().catch(() => undefined);
  return services;
}

describe.each(contexts.map((context) => [context.name, context] as const))('%s', (_, context) => {
  const ofLogs = context.permissions.filter((permission) => permission.startsWith('log.'));
  const others = context.permissions.filter((permission) => !permission.startsWith('log.'));

  test('may read and follow the logs that its projections and sagas follow, and no other', async () => {
    expect([...ofLogs].sort()).toEqual(logPermissions(...(await followed(context))).sort());
  });

  test('may do what some method of a service that it calls needs, and calls no service without a permission', async () => {
    const services = await called(context);
    const methods = contract()
      .methods()
      .filter(({ service }) => services.has(service));
    const needed = new Set(methods.map(({ access }) => access.permission));
    expect(others.filter((permission) => !needed.has(permission.replace(/:any$/, '')))).toEqual([]);
    const has = (permission: string) => others.some((own) => own === permission || own === `${permission}:any`);
    const idle = [...services].filter(
      (service) => !methods.some((method) => method.service === service && has(method.access.permission)),
    );
    expect(idle).toEqual([]);
  });

  test('has no permission that holds for all scopes', () => {
    const scoped = contract()
      .methods()
      .filter(({ access }) => access.scopeField !== undefined)
      .flatMap(({ access }) => [access.permission, `${access.permission}:any`]);
    expect(context.permissions.filter((permission) => scoped.includes(permission))).toEqual([]);
  });
});

describe('a key', () => {
  const key = (...contexts: unknown[]) => ({ kty: 'OKP', kid: 'k', caudal_contexts: contexts }) as JWK;
  const orders = contexts.find(({ name }) => name === 'orders')!;
  const allowed = (of: JWK, subject: string, asked: string[]) => allowedTo(of, subject, new Set(asked));

  test('signs for the contexts that it names, with the permissions of each, whatever its tokens ask for', () => {
    const asked = [...orders.permissions, 'catalog.products.write:any', 'log.events.read:customers', '*'];
    expect(allowed(key('orders'), 'service:orders', asked)).toEqual(new Set(orders.permissions));
    expect(allowed(key('orders', 'catalog'), 'service:orders', ['customers.customers.read:any'])).toEqual(
      new Set(['customers.customers.read:any']),
    );
    expect(allowed(key('*'), 'service:orders', orders.permissions)).toEqual(new Set(orders.permissions));
    expect(allowed(key('orders'), 'service:process', [...processCaller.permissions, 'a.b.c'])).toEqual(
      new Set(processCaller.permissions),
    );
  });

  test.each<[string, JWK, string]>([
    ['another context', key('orders'), 'service:payments'],
    ['what is no context', key('*'), 'service:admin'],
    ['a prefix of a context', key('*'), 'service:order'],
    ['the name of no service', key('*'), 'service:'],
    ['nobody, if it names none', key(), 'service:orders'],
    ['nobody, if it names none: not even a process', key(), 'service:process'],
    ['nobody, if it names no texts', key(1, null), 'service:process'],
    ['nobody, without the member', { kty: 'OKP', kid: 'k' }, 'service:orders'],
    ['nobody, if the member is a text', { kty: 'OKP', kid: 'k', caudal_contexts: '*' } as JWK, 'service:orders'],
  ])('does not sign for %s', (_, of, subject) => {
    expect(allowed(of, subject, orders.permissions)).toBeUndefined();
  });

  test('of version 0.2 asks for logs without a domain, which stands for those of its context', () => {
    expect(allowed(key('orders'), 'service:orders', ['log.events.read'])).toEqual(
      new Set(['log.events.read:customers', 'log.events.read:payments', 'log.events.read:shipping']),
    );
    expect(allowed(key('customers'), 'service:customers', ['log.events.read'])).toEqual(new Set());
    // A permission without a scope of its own gains nothing by it.
    expect(allowed(key('orders'), 'service:orders', ['customers.customers.read'])).toEqual(new Set());
  });
});

test('tokens ask for logs in the form of version 0.2, too', () => {
  expect(askedFor(['log.events.read:orders', 'log.events.read:payments', 'a.b.c:any'])).toEqual([
    'log.events.read',
    'log.events.read:orders',
    'log.events.read:payments',
    'a.b.c:any',
  ]);
  expect(withoutScope('orders.orders.read:any')).toBeUndefined();
});

/** The values that users may set: all are documented, and a wrong one is named in the message. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { credentials } from '../../scripts/charts/schema.ts';
import { chart, describeWithTools, laidOver, presets, render, secrets, type Values } from './chart.ts';

test('every setting that can hold a credential has a place for a Secret', () => {
  const values = parse(readFileSync(join(chart, 'values.yaml'), 'utf8')) as { secrets: Values };
  expect(Object.keys(values.secrets).sort()).toEqual([...credentials].sort());
});

test('the schema refuses every unknown key', () => {
  const schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as Values;
  const open: string[] = [];
  (function walk(of: Values, path: string) {
    if (of.type === 'object' && of.properties && of.additionalProperties !== false) open.push(path);
    for (const [key, value] of Object.entries(of))
      if (typeof value === 'object' && value) walk(value as Values, `${path}/${key}`);
  })(schema, '');
  expect(open).toEqual([]);
});

const wrongTypes: [string, Values, RegExp][] = [
  ['an unknown key', { imag: {} }, /imag/],
  ['an unknown key of a workload', { workloads: { api: { replica: 2 } } }, /workloads[./]api.*replica/s],
  ['an unknown role', { workloads: { api: { roles: ['comand'] } } }, /workloads[./]api[./]roles/],
  ['an unknown context', { workloads: { api: { contexts: ['baskets'] } } }, /workloads[./]api[./]contexts/],
  ['an unknown projection', { workloads: { api: { projections: ['order-list'] } } }, /workloads[./]api[./]projections/],
  ['an unknown setting', { settings: { CAUDAL_POOLSIZE: 3 } }, /CAUDAL_POOLSIZE/],
  ['a setting that the chart sets', { settings: { CAUDAL_ROLES: 'query' } }, /CAUDAL_ROLES/],
  ['a secret as a plain value', { settings: { CAUDAL_SERVICE_KEY: '{}' } }, /CAUDAL_SERVICE_KEY/],
  ['an unknown preset', { preset: 'large' }, /preset/],
  ['an invalid name', { workloads: { 'My API': {} } }, /My API/],
  ['a mode that Kong does not have', { kong: { algorithm: 'least-conn' } }, /kong[./]algorithm/],
  ['off without quotes, which YAML reads as false', { settings: { CAUDAL_AUTH: false } }, /CAUDAL_AUTH.*string/],
  ['an invalid number', { shutdown: { graceSeconds: 'long' } }, /shutdown[./]graceSeconds/],
  ['a grace period that is too long', { shutdown: { graceSeconds: 600 } }, /shutdown[./]graceSeconds/],
];

const queues = { scaleOn: 'queues', maxReplicas: 4 };
const unfit: [string, string, Values, RegExp][] = [
  [
    'no database',
    'monolith',
    { secrets: { DATABASE_URL: { existingSecret: '' } } },
    /secrets\.DATABASE_URL\.existingSecret is not set.*kubectl create secret/s,
  ],
  ['no keys', 'monolith', { secrets: { CAUDAL_JWKS: { existingSecret: '' } } }, /secrets\.CAUDAL_JWKS\.existingSecret/],
  [
    'no key for personal data',
    'monolith',
    { secrets: { CAUDAL_PERSONAL_DATA_KEYS: { existingSecret: '' } } },
    /secrets\.CAUDAL_PERSONAL_DATA_KEYS\.existingSecret.*CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA=true/s,
  ],
  [
    'no key for calls between workloads',
    'small',
    { secrets: { CAUDAL_SERVICE_KEY: { existingSecret: '' } } },
    /secrets\.CAUDAL_SERVICE_KEY\.existingSecret/,
  ],
  [
    'keys of workloads that no pod could check',
    'production',
    { serviceKeys: { secretPrefix: 'keys' } },
    /secrets\.CAUDAL_SERVICE_JWKS\.existingSecret=keys-public.*caudal keys .*--workload saga-orders=orders@saga .*--kubernetes keys/s,
  ],
  ['no authentication', 'small', { settings: { CAUDAL_AUTH: 'off' } }, /settings\.CAUDAL_ALLOW_NO_AUTH=true/],
  [
    'a credential twice',
    'monolith',
    { settings: { DATABASE_URL: 'postgres://x' } },
    /settings\.DATABASE_URL and secrets\.DATABASE_URL/,
  ],
  [
    'no workload has a role',
    'small',
    { workloads: { relay: { enabled: false } } },
    /no workload has the role relay for the context orders/,
  ],
  [
    'no workload has a projection',
    'production',
    { workloads: { wallets: { projections: ['wallet-balances'] } } },
    /projection wallet-transactions/,
  ],
  [
    'two public workloads serve the same',
    'small',
    { workloads: { other: { roles: ['query'] } } },
    /other and query all serve query of orders.*public: false/,
  ],
  [
    'a saga with 0 pods',
    'production',
    { workloads: { 'saga-orders': { replicas: 0 } } },
    /workloads\.saga-orders\.replicas is 0/,
  ],
  [
    'a projection without a queue would sleep',
    'small',
    { workloads: { projector: { ...queues, replicas: 0 } } },
    /workloads\.projector\.replicas is 0, but the projection sales-by-day has no queue/,
  ],
  [
    'a projection without a queue would be scaled on queues',
    'production',
    { workloads: { 'sales-by-day': queues } },
    /workloads\.sales-by-day\.scaleOn is queues, but its contexts have no queues for its roles/,
  ],
  [
    'a server with 0 pods',
    'small',
    { workloads: { query: { replicas: 0, maxReplicas: 3 } } },
    /workloads\.query\.replicas is 0/,
  ],
  [
    'a command workload scaled on queues',
    'small',
    { workloads: { command: queues } },
    /workloads\.command\.scaleOn is queues, which the role command/,
  ],
  [
    'more pods than parts',
    'small',
    { workloads: { saga: { ...queues, maxReplicas: 12 } } },
    /workloads\.saga\.maxReplicas is 12, but none of its handlers has more than 8 parts.*set maxReplicas to 8 or less, or raise parts/,
  ],
  [
    'no access to the depth of queues',
    'small',
    { workloads: { saga: queues }, secrets: { RABBITMQ_MANAGEMENT_URL: { existingSecret: '' } } },
    /workloads\.saga\.scaleOn.*RABBITMQ_MANAGEMENT_URL/,
  ],
  [
    'a target within the prefetch',
    'small',
    { workloads: { saga: { ...queues, target: 600 } } },
    /workloads\.saga\.target is 600/,
  ],
  [
    'a maximum below the minimum',
    'small',
    { workloads: { saga: { replicas: 5, maxReplicas: 2 } } },
    /workloads\.saga\.maxReplicas \(2\)/,
  ],
  [
    'Kong that is not trusted',
    'small',
    { kong: { enabled: true }, settings: { CAUDAL_TRUSTED_PROXIES: '' } },
    /address of all callers of command, query: .*settings\.CAUDAL_TRUSTED_PROXIES to the network of Kong's pods/,
  ],
  [
    'Kong that one workload does not trust',
    'small',
    { kong: { enabled: true }, workloads: { query: { settings: { CAUDAL_TRUSTED_PROXIES: '' } } } },
    /address of all callers of query: /,
  ],
  ['Kong without consumers', 'monolith', { kong: { enabled: true, auth: 'jwt' } }, /kong\.consumers/],
];

describeWithTools(['helm'], 'values', ({ helm }) => {
  test.each(wrongTypes)('%s is refused, and the message has its name', async (_, values, message) => {
    await expect(render(helm!, laidOver(presets.monolith!, values))).rejects.toThrow(message);
  });

  test.each(unfit)('%s: refused, and the message says what to do', async (_, preset, values, message) => {
    await expect(render(helm!, laidOver(presets[preset]!, values))).rejects.toThrow(message);
  });

  test('no card gateway: refused, and the message says what to do', async () => {
    const { settings: _, ...values } = presets.monolith!;
    await expect(render(helm!, values)).rejects.toThrow(/workloads\.api takes payments.*PAYMENTS_GATEWAY=sandbox/);
  });

  test('one message names everything that is wrong', async () => {
    const message = await render(helm!, { preset: 'small' }).then(
      () => '',
      (error: Error) => error.message,
    );
    for (const name of ['DATABASE_URL', 'CAUDAL_JWKS', 'CAUDAL_SERVICE_KEY', 'PAYMENTS_GATEWAY_URL'])
      expect(message).toContain(name);
  });

  test('a list of workloads without a preset, and settings of a workload', async () => {
    const { text } = await render(helm!, {
      preset: 'none',
      workloads: {
        orders: { contexts: ['orders'], settings: { CAUDAL_POOL_SIZE: 20 } },
        rest: {
          contexts: [
            'carts',
            'catalog',
            'credentials',
            'customers',
            'inventory',
            'payments',
            'shipping',
            'tracking',
            'notifications',
          ],
        },
      },
      settings: { PAYMENTS_GATEWAY: 'sandbox', CAUDAL_AUTH: 'off', CAUDAL_ALLOW_NO_AUTH: true, CAUDAL_POOL_SIZE: 4 },
      secrets: secrets('DATABASE_URL', 'CAUDAL_PERSONAL_DATA_KEYS'),
      database: { maxConnections: 200 },
    });
    expect(text.match(/CAUDAL_POOL_SIZE, value: "\d+"/g)).toEqual(
      expect.arrayContaining(['CAUDAL_POOL_SIZE, value: "20"', 'CAUDAL_POOL_SIZE, value: "4"']),
    );
  });
});

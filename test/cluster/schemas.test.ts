/** Kubernetes, KEDA, Kong and Prometheus' operator accept what the chart renders, for all kinds of values. */

import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isMultiStream } from '@caudal/projections/multi-stream/types.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { expect, test } from '@jest/globals';
import { chart, describeWithTools, laidOver, presets, render, root, type Values } from './chart.ts';
import { createValidator } from './schemas.ts';

const run = promisify(execFile);

const everything: Values = {
  kong: {
    enabled: true,
    host: 'api.example',
    tlsSecret: 'api-tls',
    auth: 'key-auth',
    consumers: { shop: { credentials: ['shop-key'] } },
    rateLimit: { perMinute: 600, policy: 'redis', redisHost: 'redis' },
    corsOrigins: ['https://shop.example'],
    otlpTracesEndpoint: 'http://collector:4318/v1/traces',
  },
  monitoring: { serviceMonitor: true, rules: true, dashboards: true, labels: { release: 'prometheus' } },
  jobs: {
    'rebuild-orders': { args: ['rebuild', 'order-details'] },
    verify: { args: ['verify', 'all'], schedule: '0 3 * * 0' },
  },
  image: { pullSecrets: ['registry'], digest: `sha256:${'0'.repeat(64)}` },
  caBundle: { configMap: 'authorities' },
  podLabels: { team: 'orders' },
  podAnnotations: { note: 'x' },
  nodeSelector: { disk: 'ssd' },
  tolerations: [{ key: 'spot', operator: 'Exists' }],
  priorityClassName: 'high',
  serviceAccount: { annotations: { role: 'x' } },
};

/** Each is merged into each preset. */
const odd: Record<string, Values> = {
  'a preset alone': {},
  'everything enabled': everything,
  'pods only': { migrate: false, networkPolicy: { enabled: false } },
  'closed to all callers': { networkPolicy: { gateways: [], monitoring: [], egress: [] } },
  'other ports': { ports: { grpc: 19090, rest: 18080, metrics: 19464 } },
  'TLS everywhere': {
    tls: { secret: 'caudal-tls', clientCertificates: true },
    kong: { enabled: true, host: 'api.example', tlsSecret: 'api-tls' },
    networkPolicy: { outside: ['203.0.113.7/32', '2001:db8::/32'] },
    settings: { CAUDAL_ARCHIVE_ENDPOINT: 'https://s3.example' },
  },
  'hashing by a header': {
    kong: { enabled: true, algorithm: 'consistent-hashing', hashOn: { header: 'x-tenant' } },
  },
  'tokens checked by Kong': {
    kong: { enabled: true, auth: 'jwt', consumers: { issuer: { credentials: ['issuer-key'] } } },
  },
  'settings of all kinds': { settings: { CAUDAL_NAMESPACE: 'blue', CAUDAL_POOL_SIZE: 4, CAUDAL_REFLECTION: true } },
};

test('schemas written by hand name their draft; without it half of their rules would not apply', () => {
  const ours = globSync('test/cluster/schemas/*/*.json', { cwd: root });
  expect(ours.length).toBeGreaterThan(0);
  for (const path of ours)
    expect([path, readFileSync(join(root, path), 'utf8')]).toEqual([path, expect.stringContaining('/draft-07/')]);
});

describeWithTools(['helm', 'kubeconform', 'schemas'], 'schemas', (tools) => {
  const validate = tools.kubeconform ? createValidator(tools) : async () => [];

  test('helm lint finds nothing', async () => {
    const { stdout } = await run(tools.helm!, [
      'lint',
      chart,
      '--strict',
      '--kube-version=1.36.0',
      '--set=secrets.DATABASE_URL.existingSecret=a,settings.CAUDAL_AUTH=off,settings.CAUDAL_ALLOW_NO_AUTH=true,settings.PAYMENTS_GATEWAY=sandbox,settings.CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA=true',
    ]);
    expect(stdout).toContain('0 chart(s) failed');
  });

  test.each(Object.keys(presets))('%s, with all kinds of values', async (preset) => {
    const all = await Promise.all(
      Object.values(odd).map((values, index) =>
        render(tools.helm!, laidOver(presets[preset]!, values), `case-${index}`),
      ),
    );
    expect(await validate(all.map(({ text }) => text).join('\n---\n'))).toEqual([]);
  });

  test('the oldest Kubernetes that the chart allows', async () => {
    const { text } = await render(tools.helm!, laidOver(presets.production!, everything));
    expect(await validate(text, '1.30.0')).toEqual([]);
  });

  test('a workload that is scaled on CPU, and one that may have 0 pods', async () => {
    const all = contexts.flatMap((context) => context.projections.map(({ projection }) => projection));
    const named = (inOrder: boolean) => all.filter((one) => isMultiStream(one) === inOrder).map(({ name }) => name);
    const workloads = {
      command: { maxReplicas: 9 },
      projector: { replicas: 0, maxReplicas: 5, scaleOn: 'queues', projections: named(false) },
      gatherer: { roles: ['projector'], projections: named(true) },
    };
    const { text } = await render(tools.helm!, laidOver(presets.small!, { workloads }));
    expect(await validate(text)).toEqual([]);
  });

  test('the schemas find errors', async () => {
    const { text } = await render(tools.helm!, laidOver(presets.production!, everything));
    const wrong = text
      .replace('pollingInterval:', 'pollInterval:')
      .replace('httpFailures:', 'httpFailure:')
      .replace('algorithm: least-connections', '$&\n  hashOn: { input: ip }')
      .replace('readinessProbe:', 'readyProbe:')
      .replace('podTargetLabels:', 'targetLabel:');
    expect((await validate(wrong)).join('\n')).toMatch(
      /(?=[\s\S]*pollInterval)(?=[\s\S]*httpFailure)(?=[\s\S]*consistent-hashing)(?=[\s\S]*readyProbe)(?=[\s\S]*targetLabel)/,
    );
  });
});

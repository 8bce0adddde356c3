/** Caudal on the cluster: a namespace, a Secret, a release of the chart, on stores of this machine. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { everything } from '@caudal/cli/permissions.ts';
import { generateKey, signToken } from '@caudal/rpc/server/tokens.ts';
import { startTcpProxy, type TcpProxy, through } from '@caudal/testing/tcp-proxy.ts';
import { test } from '@jest/globals';
import { stringify } from 'yaml';
import { makeStores, type Stores } from '../../e2e/stores.ts';
import { chart, laidOver, secrets, storeSettings, type Values } from '../chart.ts';
import { apply, clusterTarget, helm, kubectl } from './cluster.ts';

export interface Release {
  namespace: string;
  stores: Stores;
  /** The proxies through which pods reach the stores, by the names of the stores' settings. */
  proxies: Record<string, TcpProxy>;
  token: string;
  /**
   * Installs the release or upgrades it, with these values merged into the common ones, and waits until it is ready.
   */
  deploy(values?: Values): Promise<void>;
  /** Renders what `deploy` would install, without installing it: rejects if the chart refuses the values. */
  check(values: Values): Promise<void>;
  /** The error, with the states of all pods, the cluster's warnings, and the ends of logs. */
  explain(error: unknown): Promise<unknown>;
  drop(): Promise<void>;
}

export const name = 'caudal';

/**
 * The values of all releases: eight pods on two cores. The stock's projector is a workload of its own, so that it can
 * be scaled on its queue: from 0 pods, and by few messages.
 */
const common: Values = {
  preset: 'small',
  resources: { requests: { cpu: '20m', memory: '128Mi' } },
  settings: { PAYMENTS_GATEWAY: 'sandbox', CAUDAL_POOL_SIZE: 4, CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA: true },
  database: { maxConnections: 300 },
  workloads: {
    relay: { replicas: 1 },
    saga: { replicas: 1 },
    jobs: { resources: { requests: { cpu: '20m', memory: '128Mi' } } },
    projector: {
      replicas: 1,
      contexts: ['catalog', 'credentials', 'customers', 'orders', 'payments', 'shipping', 'tracking', 'notifications'],
    },
    stock: {
      roles: ['projector'],
      contexts: ['inventory'],
      replicas: 0,
      maxReplicas: 4,
      scaleOn: 'queues',
      target: 128,
      settings: { CAUDAL_PREFETCH: 32 },
    },
  },
  keda: { pollingInterval: 5, cooldownPeriod: 20 },
  autoscaling: { scaleDownSeconds: 15 },
};

/** Creates a namespace with the Secret, and empty stores; installs nothing yet. */
export async function prepareRelease(): Promise<Release> {
  const { host, image } = clusterTarget();
  const namespace = `caudal-${Date.now().toString(36)}`;
  const stores = await makeStores({ migrated: false });
  const proxies: Record<string, TcpProxy> = {};
  const urlOf = (setting: string) => stores.env[setting] ?? process.env[setting]!;
  for (const setting of storeSettings) proxies[setting] = await startTcpProxy(urlOf(setting), host);
  const key = await generateKey('cluster');
  const credentials: Record<string, string> = {
    ...Object.fromEntries(storeSettings.map((setting) => [setting, through(proxies[setting]!, urlOf(setting))])),
    CAUDAL_JWKS: JSON.stringify({ keys: [key.publicKey] }),
    CAUDAL_SERVICE_KEY: JSON.stringify(key.privateKey),
    CAUDAL_PERSONAL_DATA_KEYS: `first:${randomBytes(32).toString('base64')}`,
  };
  await apply(
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData: credentials },
  );
  const [repository, tag] = splitImage(image);
  const own: Values = {
    image: { repository, tag },
    settings: { CAUDAL_NAMESPACE: stores.namespace },
    secrets: secrets(...Object.keys(credentials)),
    networkPolicy: {
      gateways: [{ podSelector: { matchLabels: { app: 'client' } } }],
      egress: [
        { ports: Object.values(proxies).map(({ url }) => ({ port: Number(new URL(url).port), protocol: 'TCP' })) },
      ],
    },
  };
  const withValues = async (values: Values, args: string[]) => {
    const folder = mkdtempSync(join(tmpdir(), 'caudal-release-'));
    try {
      const file = join(folder, 'values.yaml');
      writeFileSync(file, stringify(laidOver(laidOver(common, own), values), { version: '1.1' }));
      await helm([...args, '--namespace', namespace, '--values', file]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
  return {
    namespace,
    stores,
    proxies,
    token: await signToken({
      key: key.privateKey,
      issuer: 'caudal',
      audience: 'caudal',
      subject: 'cluster',
      permissions: everything(),
      ttlSeconds: 7_200,
    }),
    deploy: (values = {}) => withValues(values, ['upgrade', name, chart, '--install', '--wait', '--timeout', '4m']),
    check: (values) => withValues(values, ['install', name, chart, '--dry-run=server']),
    async explain(error) {
      const asked = [
        ['get', 'pods', '-o', 'wide'],
        ['get', 'events', '--field-selector=type=Warning', '--sort-by=.lastTimestamp'],
        ['logs', '--selector=app=client', '--tail=15', '--prefix'],
        ['logs', '--selector=app.kubernetes.io/name=caudal', '--tail=15', '--prefix', '--all-containers'],
      ];
      const answers = await Promise.allSettled(asked.map((args) => kubectl([...args, '-n', namespace])));
      const told = answers.map((answer) => (answer.status === 'fulfilled' ? answer.value : String(answer.reason)));
      if (error instanceof Error) error.message += `\n\n${told.join('\n')}`;
      return error;
    },
    async drop() {
      await kubectl(['delete', 'namespace', namespace, '--timeout=150s'], { seconds: 160 });
      for (const { close } of Object.values(proxies)) await close();
      await stores.drop();
    },
  };
}

function splitImage(image: string): [string, string] {
  const at = image.lastIndexOf(':');
  return [image.slice(0, at), image.slice(at + 1)];
}

let failed = false;
const testMs = 400_000;

/**
 * `test`. If it fails, its error has the state of the cluster, and the tests after it are not run, because they need
 * its result.
 */
export function releaseTest(
  release: () => Release,
): (title: string, body: () => Promise<void>, timeoutMs?: number) => void {
  return (title, body, timeoutMs = testMs) =>
    test(
      title,
      async () => {
        if (failed) throw new Error('Not run, because a test before it failed.');
        // Set first, in case the test never returns.
        failed = true;
        try {
          await body();
          failed = false;
        } catch (error) {
          throw await release().explain(error);
        }
      },
      timeoutMs,
    );
}

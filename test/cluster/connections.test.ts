/** The chart adds up a release's connections to PostgreSQL with the code's own numbers, and refuses too many. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectionParts, connectionsOf } from '@caudal/server/connections.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { roles, settings } from '@caudal/server/settings/settings.ts';
import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import {
  chart,
  describeWithTools,
  laidOver,
  type Manifest,
  manifestsOf,
  notes,
  ofKind,
  podsOf,
  presets,
  type Rendered,
  render,
  root,
  type Values,
} from './chart.ts';

const read = (path: string) => readFileSync(join(root, path), 'utf8');
/** During a rollout one pod is new, and one that was replaced still ends. */
const extraPods = 2;

/** What a pod opens, by its variables: computed by the code that opens the connections. */
function connectionsOfPod({ containers }: Manifest['spec']): number {
  const env = Object.fromEntries(containers[0].env.map(({ name, value }: Values) => [name, value])) as Values;
  const list = (name: string, all: readonly string[]) => (env[name] as string | undefined)?.split(',') ?? [...all];
  return connectionsOf({
    CAUDAL_ROLES: list('CAUDAL_ROLES', roles) as never,
    CAUDAL_CONTEXTS: list(
      'CAUDAL_CONTEXTS',
      contexts.map(({ name }) => name),
    ),
    CAUDAL_POOL_SIZE: Number(env.CAUDAL_POOL_SIZE ?? settings.CAUDAL_POOL_SIZE.default),
  }).total;
}

/** The connections of everything that is rendered, with each workload at the maximum of its scaler. */
function connectionsOfRelease(rendered: Rendered): number {
  const scalers = [...ofKind(rendered, 'HorizontalPodAutoscaler'), ...ofKind(rendered, 'ScaledObject')];
  const podsAtMost = ({ metadata: { name }, spec }: Manifest) => {
    const scaler = scalers.find(({ spec: { scaleTargetRef } }) => scaleTargetRef.name === name)?.spec;
    return (scaler ? (scaler.maxReplicas ?? scaler.maxReplicaCount) : spec.replicas) + extraPods;
  };
  const ofWorkloads = ofKind(rendered, 'Deployment').map(
    (each) => podsAtMost(each) * connectionsOfPod(each.spec.template.spec),
  );
  const workloads = new Set(ofKind(rendered, 'Deployment').map(({ metadata }) => metadata.name));
  const ofJobs = podsOf(rendered)
    .filter(({ name }) => !workloads.has(name) && name !== 'caudal-test')
    .map(({ name, pod }) => (name === 'caudal-migrate' ? connectionParts.migrate : connectionsOfPod(pod)));
  return [...ofWorkloads, ...ofJobs].reduce((sum, each) => sum + each, 0);
}

const rendered = (helm: string, values: Values) =>
  render(helm, laidOver(values, { database: { maxConnections: 100_000 } }));
const refusal = (helm: string, values: Values, maxConnections: number) =>
  render(helm, laidOver(values, { database: { maxConnections } })).then(
    () => '',
    (error: Error) => error.message,
  );

const gathered = ['sales-by-day', 'shipments'];
const queues = { scaleOn: 'queues', maxReplicas: 4 };
const cases: [string, Values][] = [
  ...Object.entries(presets),
  ['pools of other sizes', laidOver(presets.small!, { settings: { CAUDAL_POOL_SIZE: '20' } })],
  [
    'a pool of one workload, a workload that is scaled, and one that is gone',
    laidOver(presets.small!, {
      workloads: {
        query: { settings: { CAUDAL_POOL_SIZE: 3 }, maxReplicas: 9 },
        jobs: { enabled: false },
        saga: { roles: ['process', 'jobs'] },
      },
    }),
  ],
  [
    'contexts of their own, projectors that sleep and are built by a Job, commands as CronJobs',
    laidOver(presets.small!, {
      workloads: {
        projector: {
          ...queues,
          replicas: 0,
          projections: contexts.flatMap(({ projections }) =>
            projections.map(({ projection }) => projection.name).filter((name) => !gathered.includes(name)),
          ),
        },
        gatherer: { roles: ['projector'], contexts: ['orders', 'shipping'], projections: gathered },
      },
      jobs: {
        'rebuild-orders': { args: ['rebuild', 'order-details'] },
        check: { args: ['verify'], schedule: '0 3 * * *' },
      },
      settings: { CAUDAL_POOL_SIZE: 5 },
    }),
  ],
  ['databases that are migrated by hand', laidOver(presets.monolith!, { migrate: false })],
];

describeWithTools(['helm'], 'connections to PostgreSQL', ({ helm }) => {
  test.each(cases)('%s: the chart and the code come to the same sum, which is the limit', async (_, values) => {
    const sum = connectionsOfRelease(await rendered(helm!, values));
    expect(await refusal(helm!, values, sum)).toBe('');
    expect(await refusal(helm!, values, sum - 1)).toContain(
      `the release may open ${sum} connections to PostgreSQL, and database.maxConnections is ${sum - 1}.`,
    );
  });

  test('the message has the parts of the sum, and what to change', async () => {
    const message = await refusal(helm!, presets.production!, 100);
    for (const word of ['database.maxConnections', 'max_connections', 'maxReplicas', 'settings.CAUDAL_POOL_SIZE'])
      expect(message).toContain(word);
    const parts = [...message.matchAll(/^ +([^:\n]+): (\d+) x (\d+)(?: \(([^)]*)\))? = (\d+)$/gm)];
    const [, sum] = /may open (\d+)/.exec(message)!;
    expect(parts.map(([, , pods, each, , product]) => Number(pods) * Number(each) - Number(product))).toEqual(
      parts.map(() => 0),
    );
    expect(parts.reduce((total, [, , , , , product]) => total + Number(product), 0)).toBe(Number(sum));
    const workloads = Object.keys(parse(readFileSync(join(chart, 'presets/production.yaml'), 'utf8')) as Values);
    expect(parts.map(([, name]) => name).sort()).toEqual(
      ['the Job that migrates', ...workloads.map((name) => `workloads.${name}`)].sort(),
    );
    const inside = parts.filter(([, , , , text]) => text).map(([, , , each, text]) => [each, text!.match(/\d+/g)!]);
    for (const [each, numbers] of inside)
      expect((numbers as string[]).reduce((total, number) => total + Number(number), 0)).toBe(Number(each));
  });

  test('the presets fit the databases beside them, and the smallest one PostgreSQL as it is installed', async () => {
    const { database: _, ...monolith } = presets.monolith!;
    await render(helm!, monolith);
    const values = (path: string) => parse(read(path)) as Values & { database?: { maxConnections: number } };
    const ofOperator = manifestsOf(read('k8s/operators/postgres.yaml'))[0]!.spec.postgresql.parameters.max_connections;
    const [, ofDev] = /max_connections=(\d+)/.exec(read('k8s/dev/postgres.yaml'))!;
    for (const [path, maxConnections] of [
      ['k8s/operators/values.yaml', ofOperator],
      ['k8s/dev/values.yaml', ofDev],
    ]) {
      await render(helm!, values(path));
      // superuser_reserved_connections is 3.
      expect(values(path).database!.maxConnections).toBeLessThanOrEqual(Number(maxConnections) - 3);
    }
    await render(helm!, values('k8s/dev/values-monolith.yaml'));
  });

  test('the notes tell the number', async () => {
    const sum = connectionsOfRelease(await rendered(helm!, presets.small!));
    expect(await notes(helm!, presets.small!)).toContain(
      `Connections to PostgreSQL: ${sum} at most, of database.maxConnections = 2000.`,
    );
  });
});

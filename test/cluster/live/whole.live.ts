/** The life of a release on a real cluster, from the first wrong value until nothing of it is left. */
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { until } from '../../e2e/wait.ts';
import { runCaudal } from '../../faults/run-caudal.ts';
import { helm, kubectl, lookEveryMs, pods } from './cluster.ts';
import { goesOnThroughDisturbances } from './disturbances.ts';
import { countOrders } from './orders.ts';
import { ended, endPod, startPod } from './pod.ts';
import { refusesWhatCannotWork } from './refusals.ts';
import { name, prepareRelease, type Release, releaseTest } from './release.ts';
import { scalesOnQueues } from './scaling.ts';

describe('Caudal on Kubernetes', () => {
  let prepared: Release;
  const release = () => prepared;
  const test = releaseTest(release);
  /** Orders that clients got an acknowledgement for. */
  const placed = { orders: 0 };

  beforeAll(async () => {
    prepared = await prepareRelease();
  }, 60_000);
  afterAll(() => prepared?.drop(), 200_000);

  refusesWhatCannotWork(release);

  test('all workloads of the preset are ready, under restricted pod security, and "helm test" passes', async () => {
    const { namespace, deploy } = prepared;
    await deploy();
    const all = (await pods(namespace)).filter(({ phase }) => phase === 'Running');
    for (const workload of ['command', 'query', 'relay', 'projector', 'saga', 'jobs', 'worker'])
      expect(all.filter((pod) => pod.name.startsWith(`${name}-${workload}-`) && pod.ready).length).toBeGreaterThan(0);
    await helm(['test', name, '--namespace', namespace, '--timeout=90s']);
  });

  test('the real orders are imported through the API, and reconcile', async () => {
    const pod = await startPod(prepared, 'import');
    const report = JSON.parse(await ended(prepared.namespace, pod, 360));
    await endPod(prepared.namespace, pod);
    console.log(`import: ${report.orders.total.orders} orders, ${report.checks.length} checks`);
    expect(report.checks.filter(({ ok }: { ok: boolean }) => !ok)).toEqual([]);
    expect(report.reconciled).toBe(true);
    expect(report.orders.total.orders).toBeGreaterThan(100);
  });

  scalesOnQueues(release);
  goesOnThroughDisturbances(release, placed);

  test('afterwards every order has ended, every view equals the log, and there is no dead letter', async () => {
    const { stores } = prepared;
    const verdict = async () => JSON.parse((await runCaudal(stores.env, 'verify', 'all', '--json')).stdout);
    const orders = await until(
      'every order has ended',
      () => countOrders(prepared),
      (now) => now.open === 0,
      90_000,
    );
    expect(orders.placed).toBeGreaterThanOrEqual(placed.orders);
    // The stock's projector has 0 pods until KEDA sees messages in its queue.
    await until('every view is right', verdict, ({ right }) => right, 120_000);
    expect(await stores.deadLetters()).toEqual([]);
  });

  test('an uninstalled release leaves nothing behind', async () => {
    const { namespace } = prepared;
    await helm(['uninstall', name, '--namespace', namespace, '--wait', '--timeout=3m']);
    const kinds = (await kubectl(['api-resources', '--verbs=list,delete', '--output=name'])).trim().split('\n');
    expect(kinds.length).toBeGreaterThan(30);
    const labelled = ['--all-namespaces', `--selector=app.kubernetes.io/instance=${name}`];
    const left = () => kubectl(['get', kinds.join(','), ...labelled, '--output=name', '--ignore-not-found']);
    // Pods may take their time to end.
    await until('nothing of the release is there', left, (names) => names.trim() === '', 120_000, lookEveryMs);
    const others = await kubectl(['get', 'secrets,deployments,pods,scaledobjects,hpa', '-n', namespace, '-o', 'name']);
    expect(others.trim().split('\n')).toEqual([`secret/${name}`]);
  });
});

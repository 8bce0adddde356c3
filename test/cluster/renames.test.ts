/** Values with deprecated names keep their meaning, and helm says what to write instead. */
import { expect, test } from '@jest/globals';
import { describeWithTools, laidOver, notes, ofKind, podsOf, presets, render } from './chart.ts';

describeWithTools(['helm'], 'values of the previous version', ({ helm }) => {
  const rendered = (preset: string, values = {}) => render(helm!, laidOver(presets[preset]!, values));

  test('the role process is saga: the same manifests as under the new name', async () => {
    const workloads = (role: string) => ({ mine: { roles: ['query', role], contexts: ['orders'], public: false } });
    const before = await rendered('small', { workloads: workloads('process') });
    const now = await rendered('small', { workloads: workloads('saga') });
    expect(before.text).toBe(now.text);
    const { pod } = podsOf(now).find(({ name }) => name === 'caudal-mine')!;
    expect(pod.containers[0].env).toContainEqual({ name: 'CAUDAL_ROLES', value: 'query,saga' });
  });

  test.each([
    ['small', 'process', 'saga'],
    ['production', 'process-orders', 'saga-orders'],
    ['production', 'process-payments', 'saga-payments'],
    ['production', 'process-rest', 'saga-rest'],
  ])('%s: values for %s are merged into %s', async (preset, before, now) => {
    const mine = { replicas: 3, maxReplicas: 9, scaleOn: 'cpu', settings: { CAUDAL_PREFETCH: 100 } };
    const old = await rendered(preset, { workloads: { [before]: mine } });
    expect(old.text).toBe((await rendered(preset, { workloads: { [now]: mine } })).text);
    expect(ofKind(old, 'Deployment').map(({ metadata }) => metadata.name)).not.toContain(`caudal-${before}`);
    const { pod } = podsOf(old).find(({ name }) => name === `caudal-${now}`)!;
    expect(pod.containers[0].env).toContainEqual({ name: 'CAUDAL_PREFETCH', value: '100' });
  });

  test('a workload of a user keeps its name, whatever it is', async () => {
    const process = { roles: ['process'], contexts: ['orders'] };
    const release = await rendered('production', { workloads: { process } });
    expect(ofKind(release, 'Deployment').map(({ metadata }) => metadata.name)).toContain('caudal-process');
  });

  test('pods and jobs get settings under their new names only', async () => {
    const release = await rendered('production', {
      settings: { CAUDAL_SWEEP_INTERVAL: '20s', CAUDAL_SWEEP_MIN_AGE: '5s' },
      workloads: {
        'saga-orders': { settings: { CAUDAL_RECONCILIATION_INTERVAL: '7s' } },
        'saga-rest': { settings: { CAUDAL_SWEEP_INTERVAL: '9s' } },
      },
    });
    expect(release.text).not.toContain('CAUDAL_SWEEP');
    const interval = (pod: string) =>
      podsOf(release)
        .find(({ name }) => name === pod)!
        .pod.containers[0].env.find(({ name }: { name: string }) => name === 'CAUDAL_RECONCILIATION_INTERVAL').value;
    expect(interval('caudal-command')).toBe('20s');
    expect(interval('caudal-saga-orders')).toBe('7s');
    expect(interval('caudal-saga-rest')).toBe('9s');
    expect(interval('caudal-migrate')).toBe('20s');
  });

  test('both names with different values are refused, and the message has both names', async () => {
    const settings = { CAUDAL_SWEEP_INTERVAL: '20s', CAUDAL_RECONCILIATION_INTERVAL: '30s' };
    await expect(rendered('small', { settings })).rejects.toThrow(
      /settings\.CAUDAL_SWEEP_INTERVAL is the deprecated name of CAUDAL_RECONCILIATION_INTERVAL, and both/,
    );
    await expect(rendered('small', { workloads: { saga: { settings } } })).rejects.toThrow(
      /workloads\.saga\.settings\.CAUDAL_SWEEP_INTERVAL/,
    );
    const workloads = { process: { replicas: 3 }, saga: { replicas: 4 } };
    await expect(rendered('small', { workloads })).rejects.toThrow(
      /workloads\.process is the deprecated name of workloads\.saga/,
    );
  });

  test('the notes warn about each deprecated name, and nothing else', async () => {
    const old = await notes(
      helm!,
      laidOver(presets.small!, {
        settings: { CAUDAL_SWEEP_INTERVAL: '20s' },
        workloads: {
          process: { replicas: 3 },
          more: { roles: ['process'], contexts: ['orders'], settings: { CAUDAL_SWEEP_MIN_AGE: '5s' } },
        },
      }),
    );
    expect(old.slice(old.indexOf('WARNING')).trim().split('\n').slice(1)).toEqual([
      '  workloads.process: it is called workloads.saga now.',
      '  workloads.more.roles: the role process is called saga now.',
      '  settings.CAUDAL_SWEEP_INTERVAL: it is called CAUDAL_RECONCILIATION_INTERVAL now.',
      '  workloads.more.settings.CAUDAL_SWEEP_MIN_AGE: it is called CAUDAL_RECONCILIATION_MIN_AGE now.',
    ]);
    const current = await notes(helm!, presets.small!);
    expect(current).toContain('Check that it works:');
    expect(current).not.toContain('WARNING');
  });
});

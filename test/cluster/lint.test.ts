/** What kube-score, which has no rules for Caudal, finds in a release's resources: only what is intended. */
import { spawnSync } from 'node:child_process';
import { expect, test } from '@jest/globals';
import { describeWithTools, laidOver, presets, render } from './chart.ts';

/** What kube-score would change, in which resources, and why it stays. */
const meant: { check: string; of?: RegExp; because: string }[] = [
  {
    check: 'container-resources',
    because: 'a limit of CPU slows down answers while cores are idle; memory has a limit',
  },
  {
    check: 'container-image-pull-policy',
    because: 'a release names a version, or a digest, whose content does not change',
  },
  {
    check: 'container-security-context-user-group-id',
    because: '1000 is the user of the image, like that of the official Node image',
  },
  { check: 'deployment-has-host-podantiaffinity', because: 'topologySpreadConstraints spread pods, over zones too' },
  { check: 'deployment-replicas', because: 'jobs, and projectors that are scaled on queues, have one pod on purpose' },
  { check: 'pod-probes', of: /^Pod/, because: 'the pod of "helm test" ends by itself' },
];

interface Scored {
  object_name: string;
  checks: {
    check: { id: string };
    grade: number;
    skipped: boolean;
    comments: { path: string; summary: string }[] | null;
  }[];
}

/** kube-score's grade for a resource without a finding. */
const good = 10;

const isMeant = (id: string, object: string) =>
  meant.some(({ check, of }) => check === id && (of === undefined || of.test(object)));

describeWithTools(['helm', 'kube-score'], 'kube-score', (tools) => {
  function findings(manifests: string): string[] {
    const options = ['--output-format=json', '--kubernetes-version=v1.36'];
    const { stdout, stderr } = spawnSync(tools['kube-score']!, ['score', ...options, '-'], {
      input: manifests,
      encoding: 'utf8',
      maxBuffer: 2 ** 25,
    });
    if (!stdout) throw new Error(`kube-score: ${stderr}`);
    return (JSON.parse(stdout) as Scored[]).flatMap(({ object_name, checks }) =>
      checks
        .filter(({ check, grade, skipped }) => !skipped && grade < good && !isMeant(check.id, object_name))
        .map(
          ({ check, comments }) => `${object_name}: ${check.id}: ${comments?.map(({ summary }) => summary).join('; ')}`,
        ),
    );
  }

  test.each(Object.keys(presets))('%s', async (preset) => {
    const values = { kong: { enabled: true, host: 'api.example', tlsSecret: 'api-tls' }, monitoring: { rules: true } };
    const { text } = await render(tools.helm!, laidOver(presets[preset]!, values));
    expect(findings(text)).toEqual([]);
  });

  test('finds what is wrong', async () => {
    const { text } = await render(tools.helm!, presets.small!);
    const careless = text.replaceAll('readOnlyRootFilesystem: true', 'readOnlyRootFilesystem: false');
    expect(findings(careless)).toContainEqual(expect.stringContaining('container-security-context'));
  });
});

/** Beside the chart: manifests, values and skaffold's configuration are accepted by their tools. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { settings } from '@caudal/server/settings/settings.ts';
import { expect, test } from '@jest/globals';
import { parse, stringify } from 'yaml';
import { describeWithTools, type Manifest, manifestsOf, ofKind, render, root, type Values } from './chart.ts';
import { createValidator } from './schemas.ts';

const read = (path: string) => readFileSync(join(root, path), 'utf8');
const manifests = (pattern: string) =>
  globSync(pattern, { cwd: join(root, 'k8s') })
    .sort()
    .map((name) => read(`k8s/${name}`));
const dev = manifests('dev/*.yaml').filter((text) => /^apiVersion: (v1|apps)/m.test(text));
const operators = manifests('operators/*.yaml').filter((text) => /^apiVersion:/m.test(text));
const skaffold = parse(read('skaffold.yaml')) as {
  deploy: { helm: { releases: { chartPath: string; valuesFiles: string[] }[] } };
  portForward: { resourceName: string; port: number }[];
  profiles: { name: string; patches?: { op: string; path: string; value?: unknown }[] }[];
};

interface Patch {
  op: string;
  path: string;
  value?: unknown;
}

/**
 * skaffold.yaml with a profile's patches (RFC 6902; only the operations that it uses). Throws if a path does not exist.
 */
function withProfile(name: string): typeof skaffold {
  const config = structuredClone(skaffold);
  for (const { op, path, value } of (config.profiles.find((each) => each.name === name)!.patches ?? []) as Patch[]) {
    const steps = path.slice(1).split('/');
    const last = steps.pop()!;
    // biome-ignore lint/suspicious/noExplicitAny: the path may lead to any value
    const at = steps.reduce((of: any, step) => of[step], config);
    if (at === undefined || (op !== 'add' && !(last in at))) throw new Error(`${name}: there is no ${path}`);
    if (op === 'remove') delete at[last];
    else at[last] = value;
  }
  return config;
}

test('every file that skaffold names exists, in every profile', () => {
  for (const { name } of skaffold.profiles) {
    const [release] = withProfile(name).deploy.helm.releases;
    for (const path of [release!.chartPath, ...release!.valuesFiles])
      expect(globSync(path, { cwd: root })).toEqual([path]);
  }
});

test('the development Secret has the keys that its values use, named like the settings', () => {
  const [secret] = manifestsOf(read('k8s/dev/secret.yaml')) as (Manifest & { stringData: object })[];
  const values = parse(read('k8s/dev/values.yaml')) as { secrets: Record<string, Values> };
  expect(Object.keys(values.secrets).sort()).toEqual(Object.keys(secret!.stringData).sort());
  for (const name of Object.keys(secret!.stringData)) expect(Object.keys(settings)).toContain(name);
  const services = dev.flatMap(manifestsOf).filter(({ kind }) => kind === 'Service');
  for (const url of Object.values(secret!.stringData) as string[]) {
    const { hostname, port } = new URL(url);
    const service = services.find(({ metadata }) => `${metadata.name}.${metadata.namespace}` === hostname);
    expect(service?.spec.ports.map((of: { port: number }) => String(of.port))).toContain(port);
  }
});

test('the log has a synchronous replica, and no image has the tag latest', () => {
  const [postgres] = manifestsOf(read('k8s/operators/postgres.yaml'));
  expect(postgres!.spec.postgresql.synchronous).toMatchObject({ number: 1, dataDurability: 'required' });
  for (const text of dev) for (const [, image] of text.matchAll(/^ +image: (.*)$/gm)) expect(image).toMatch(/:\d/);
  for (const name of ['keda', 'kong']) expect(read(`k8s/${name}/values.yaml`)).toMatch(/--version \d+\.\d+\.\d+/);
});

test('Kong listens on the ports that kind publishes', () => {
  const kind = parse(read('k8s/kind.yaml')) as { nodes: { extraPortMappings?: { containerPort: number }[] }[] };
  const { gateway } = parse(read('k8s/kong/values.yaml')) as {
    gateway: { proxy: Record<string, { nodePort: number }> };
  };
  const published = kind.nodes.flatMap(({ extraPortMappings = [] }) =>
    extraPortMappings.map(({ containerPort }) => containerPort),
  );
  expect(published).toEqual([gateway.proxy.http!.nodePort, gateway.proxy.tls!.nodePort]);
});

describeWithTools(['helm', 'kubeconform', 'schemas'], 'k8s', (tools) => {
  const validate = tools.kubeconform ? createValidator(tools) : async () => [];

  test('manifests are valid', async () => {
    const texts = [...dev, read('k8s/namespaces.yaml'), read('k8s/kind.yaml'), read('skaffold.yaml')];
    const profiles = skaffold.profiles.map(({ name }) => stringify(withProfile(name)));
    expect(await validate([...texts, ...profiles].join('\n---\n'))).toEqual([]);
    expect((await validate(read('skaffold.yaml').replace('valuesFiles', 'valueFiles'))).join()).toContain('valueFiles');
  });

  test('operators accept the stores', async () => {
    expect(operators.map((text) => manifestsOf(text)[0]!.kind).sort()).toEqual([
      'Cluster',
      'Elasticsearch',
      'MongoDBCommunity',
      'RabbitmqCluster',
      'Redis',
    ]);
    expect(await validate(operators.join('\n---\n'))).toEqual([]);
    const wrong = operators.map((text) => text.replace(/^spec:$/m, 'spec:\n  unheardOf: true'));
    expect(await validate(wrong.join('\n---\n'))).toEqual(operators.map(() => expect.stringContaining('unheardOf')));
  });

  test.each(['values.yaml', 'values-monolith.yaml'])('the chart accepts k8s/dev/%s', async (name) => {
    const release = await render(tools.helm!, parse(read(`k8s/dev/${name}`)) as Values);
    expect(await validate(release.text)).toEqual([]);
    const listeners = ofKind(release, 'Service').flatMap(({ metadata, spec }) =>
      spec.ports.map(({ port }: { port: number }) => `${metadata.name}:${port}`),
    );
    const profile = withProfile(name === 'values.yaml' ? 'polyglot' : 'monolith');
    for (const { resourceName, port } of profile.portForward) expect(listeners).toContain(`${resourceName}:${port}`);
  });

  test('the chart accepts the example of production on operators', async () => {
    const { text } = await render(tools.helm!, parse(read('k8s/operators/values.yaml')) as Values);
    expect(await validate(text)).toEqual([]);
  });
});

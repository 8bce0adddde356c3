/**
 * Checks manifests against the schemas that their makers publish, and against ours for those that can't be downloaded
 * (`schemas/`).
 */
import { execFile } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from '@jest/globals';
import { manifestsOf, root } from './chart.ts';

interface CustomResourceDefinition {
  kind: string;
  spec: {
    group: string;
    names: { kind: string };
    versions: { name: string; schema: { openAPIV3Schema: Schema } }[];
  };
}
type Schema = { [key: string]: unknown };

/**
 * A definition's schema in which an unknown key is an error, as in the API server's strict validation. It is also an
 * error where the schema names no key at all: the API server would silently drop it. Rules in CEL are not checked.
 */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== 'object' || value === null) return value;
  const schema = Object.fromEntries(Object.entries(value).map(([key, of]) => [key, closed(of)])) as Schema;
  if (schema['x-kubernetes-int-or-string']) return { type: ['integer', 'string'] };
  if (schema['x-kubernetes-list-type'] === 'set') return { ...schema, uniqueItems: true };
  const open =
    schema['x-kubernetes-preserve-unknown-fields'] ||
    schema['x-kubernetes-embedded-resource'] ||
    'additionalProperties' in schema;
  return schema.type === 'object' && !open ? { ...schema, additionalProperties: false } : schema;
}

/** Writes the schemas of custom resources where kubeconform finds them; returns the folder. `crds`: the definitions. */
function writeSchemas(crds: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'caudal-schemas-'));
  const definitions = globSync(join(crds, '*.yaml')).flatMap((file) => manifestsOf(readFileSync(file, 'utf8')));
  for (const { kind, spec } of definitions as CustomResourceDefinition[]) {
    if (kind !== 'CustomResourceDefinition') continue;
    for (const { name, schema } of spec.versions) {
      const complete = { ...(closed(schema.openAPIV3Schema) as Schema) };
      const properties = { ...(complete.properties as Schema), metadata: { type: 'object' } };
      put(folder, spec.group, spec.names.kind, name, { ...complete, properties });
    }
  }
  return folder;
}

function put(folder: string, group: string, kind: string, version: string, schema: Schema): void {
  mkdirSync(join(folder, group), { recursive: true });
  writeFileSync(join(folder, group, `${kind.toLowerCase()}_${version}.json`), JSON.stringify(schema));
}

/**
 * Returns a function that lists the errors of manifests, one line each, by the schemas of these versions of Kubernetes.
 */
export function createValidator({ kubeconform, schemas }: Record<string, string>) {
  const custom = writeSchemas(join(schemas!, 'crds'));
  afterAll(() => rmSync(custom, { recursive: true }));
  const ours = join(root, 'test/cluster/schemas');
  return async (text: string, version = '1.36.0'): Promise<string[]> => {
    const locations = [
      join(schemas!, `v${version}`, '{{.ResourceKind}}{{.KindSuffix}}.json'),
      join(custom, '{{.Group}}', '{{.ResourceKind}}_{{.ResourceAPIVersion}}.json'),
      join(ours, '{{.Group}}', '{{.ResourceKind}}_{{.ResourceAPIVersion}}.json'),
    ];
    const args = ['-strict', '-output', 'json', ...locations.flatMap((at) => ['-schema-location', at])];
    const output = await new Promise<string>((resolve, reject) => {
      const child = execFile(kubeconform!, args, { maxBuffer: 2 ** 25 }, (error, stdout) =>
        stdout ? resolve(stdout) : reject(error ?? new Error('kubeconform says nothing')),
      );
      child.stdin!.end(text);
    });
    const { resources } = JSON.parse(output) as {
      resources: { kind: string; name: string; status: string; msg: string }[];
    };
    return resources.map(({ kind, name, msg }) => `${kind} ${name}: ${msg}`);
  };
}

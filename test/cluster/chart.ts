/** The chart as its users see it: helm renders it, or refuses the values. */
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, jest } from '@jest/globals';
import { parseAllDocuments, stringify } from 'yaml';

// Each test starts tools: that takes seconds, and longer on a busy machine.
jest.setTimeout(180_000);

const run = promisify(execFile);
export const root = fileURLToPath(new URL('../../', import.meta.url));
export const chart = join(root, 'charts/caudal');

/** A resource, with the keys that tests read. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: the content differs for each kind, and the schemas check it
  spec: any;
}

export type Tool = 'helm' | 'kubeconform' | 'kube-score' | 'schemas';

/** A tool of `test/cluster/tools`, built if necessary. Returns its path, or why it is missing. */
export function tool(name: Tool): { path: string } | { missing: string } {
  try {
    const path = execFileSync(join(root, 'test/cluster/tools'), [name], { encoding: 'utf8', stdio: 'pipe' }).trim();
    return { path };
  } catch (error) {
    return { missing: `${name}: ${(error as { stderr?: string }).stderr?.trim() || (error as Error).message}` };
  }
}

/** A `describe` that is skipped, with a message, if a tool is missing; it fails if all tools are required. */
export function describeWithTools(tools: Tool[], title: string, body: (paths: Record<string, string>) => void): void {
  const found = tools.map((name) => [name, tool(name)] as const);
  const missing = found.flatMap(([, of]) => ('missing' in of ? [of.missing] : []));
  if (missing.length === 0) {
    describe(title, () => body(Object.fromEntries(found.map(([name, of]) => [name, (of as { path: string }).path]))));
    return;
  }
  if (process.env.CAUDAL_REQUIRE_SERVERS === 'all')
    throw new Error(`CAUDAL_REQUIRE_SERVERS=all, but ${missing.join('; ')}`);
  console.warn(`Skipped: ${title}, without ${missing.join('; ')}`);
  describe.skip(title, () => body({}));
}

export type Values = Record<string, unknown>;
const secret = (name: string) => ({ existingSecret: 'caudal', key: name });
export const secrets = (...names: string[]) => Object.fromEntries(names.map((name) => [name, secret(name)]));

const keys = secrets('CAUDAL_JWKS', 'CAUDAL_SERVICE_KEY', 'CAUDAL_PERSONAL_DATA_KEYS', 'PAYMENTS_GATEWAY_KEY');
/** The settings with the stores' URLs. */
export const storeSettings = [
  'DATABASE_URL',
  'RABBITMQ_URL',
  'RABBITMQ_MANAGEMENT_URL',
  'MONGODB_URL',
  'ELASTICSEARCH_URL',
  'REDIS_URL',
];
const stores = secrets(...storeSettings);
const settings = { PAYMENTS_GATEWAY_URL: 'https://gateway.example', CAUDAL_TRUSTED_PROXIES: '10.244.0.0/16' };

/** More than any release of the tests needs. */
const database = { maxConnections: 2_000 };

/** The minimum of values that each preset needs, also behind Kong. */
export const presets: Record<string, Values> = {
  monolith: {
    preset: 'monolith',
    settings,
    secrets: secrets('DATABASE_URL', 'CAUDAL_JWKS', 'CAUDAL_PERSONAL_DATA_KEYS'),
    database,
  },
  small: { preset: 'small', settings, secrets: { ...stores, ...keys }, database },
  production: { preset: 'production', settings, secrets: { ...stores, ...keys }, database },
};

/** Merges values: maps key by key, everything else is replaced. */
export function laidOver(below: Values, above: Values): Values {
  const isMap = (value: unknown): value is Values =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const entries = Object.entries(above).map(([key, value]) => {
    const under = below[key];
    return [key, isMap(value) && isMap(under) ? laidOver(under, value) : value];
  });
  return { ...below, ...Object.fromEntries(entries) };
}

export interface Rendered {
  text: string;
  manifests: Manifest[];
}

/** Renders the chart, or another folder. Rejects with helm's message. */
export async function render(helm: string, values: Values, release = 'caudal', of = chart): Promise<Rendered> {
  const folder = mkdtempSync(join(tmpdir(), 'caudal-chart-'));
  try {
    const file = join(folder, 'values.yaml');
    // Helm reads YAML 1.1, where `off` is false.
    writeFileSync(file, stringify(values, { version: '1.1' }));
    const args = ['template', release, of, '--namespace=shop', '--kube-version=1.36.0', '--values', file];
    const { stdout } = await run(helm, args, { maxBuffer: 2 ** 25 });
    return { text: stdout, manifests: manifestsOf(stdout) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What helm prints after an installation. `helm template` leaves it out, so it is rendered inside a ConfigMap. */
export async function notes(helm: string, values: Values): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'caudal-notes-'));
  try {
    cpSync(chart, folder, { recursive: true });
    cpSync(join(chart, 'templates/NOTES.txt'), join(folder, 'NOTES.txt'));
    const data = '{ notes: {{ tpl (.Files.Get "NOTES.txt") . | toJson }} }';
    const map = `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: notes }\ndata: ${data}\n`;
    writeFileSync(join(folder, 'templates/notes.yaml'), map);
    const { manifests } = await render(helm, values, 'caudal', folder);
    const found = manifests.find(({ metadata }) => metadata.name === 'notes') as unknown as { data: { notes: string } };
    return found.data.notes;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function manifestsOf(text: string): Manifest[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}

export const ofKind = ({ manifests }: Rendered, kind: string) => manifests.filter((each) => each.kind === kind);

/** The pods of a release: those of Deployments, Jobs, CronJobs, and bare pods. */
export function podsOf({ manifests }: Rendered): { name: string; pod: Manifest['spec'] }[] {
  return manifests.flatMap(({ kind, metadata: { name }, spec }) => {
    if (kind === 'Deployment' || kind === 'Job') return [{ name, pod: spec.template.spec }];
    if (kind === 'CronJob') return [{ name, pod: spec.jobTemplate.spec.template.spec }];
    return kind === 'Pod' ? [{ name, pod: spec }] : [];
  });
}

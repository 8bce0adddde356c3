/**
 * charts/caudal/values.schema.json: types follow from the defaults in values.yaml, this file adds what defaults can't say,
 * and the names of contexts, roles, projections and settings are taken from the code.
 */
import type { Setting } from '@caudal/config/setting.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { formerRoles, roles, settings } from '@caudal/server/settings/settings.ts';
import type { ValueKey } from './values.ts';

export type Schema = Record<string, unknown>;

/** Settings that the chart sets itself, from the workload or from another value, and settings that pods do not read. */
const reserved = [
  'CAUDAL_ROLES',
  'CAUDAL_CONTEXTS',
  'CAUDAL_PROJECTIONS',
  'CAUDAL_HOST',
  'CAUDAL_REST_PORT',
  'CAUDAL_GRPC_PORT',
  'CAUDAL_FORWARD_HOST',
  'CAUDAL_METRICS_PORT',
  'CAUDAL_SHUTDOWN_GRACE',
  'CAUDAL_COMMAND_ADDRESS',
  'CAUDAL_QUERY_ADDRESS',
  'CAUDAL_DATA_DIR',
  'CAUDAL_TLS_CERTIFICATE',
  'CAUDAL_TLS_KEY',
  'CAUDAL_TLS_CA',
  'CAUDAL_TLS_SERVER_NAME',
  'CAUDAL_TLS_CLIENTS',
  'CAUDAL_TLS_CALLS',
  'CAUDAL_TLS_PLAINTEXT',
  'CAUDAL_TRUSTED_CA',
  'CAUDAL_TOKEN',
  'CAUDAL_USER_KEY',
];

const known = Object.entries(settings as Record<string, Setting<unknown>>).filter(([name]) => !reserved.includes(name));

/** Settings that can hold a credential: a process can also read them from a file. */
export const credentials = known.filter(([, { secrecy }]) => secrecy !== 'public').map(([name]) => name);

const map = (properties: Schema, more: Schema = {}): Schema => ({
  type: 'object',
  additionalProperties: false,
  properties,
  ...more,
});
const byName = (of: Schema): Schema => ({
  type: 'object',
  propertyNames: { pattern: '^[a-z]([a-z0-9-]{0,23}[a-z0-9])?$' },
  additionalProperties: of,
});
const oneOf = (...values: string[]): Schema => ({ enum: values });
const listOf = (items: Schema): Schema => ({ type: 'array', items });
const someOf = (values: readonly string[]): Schema => ({
  type: 'array',
  minItems: 1,
  uniqueItems: true,
  items: { enum: values },
});
const whole = (minimum: number, maximum?: number): Schema => ({ type: 'integer', minimum, maximum });
const text: Schema = { type: 'string' };
const texts: Schema = { type: 'object', additionalProperties: text };
/** Kubernetes checks their keys itself. */
const ofKubernetes: Schema = { type: 'array', items: { type: 'object' } };

/** In YAML, numbers and switches need no quotes, everything else does: `off` is false in YAML, but a word in CAUDAL_AUTH. */
function typesOf({ expects }: Setting<unknown>): string[] {
  if (expects === 'true or false') return ['boolean', 'string'];
  return /number|port/.test(expects) ? ['number', 'string'] : ['string'];
}

const settingsSchema = map(
  Object.fromEntries(
    known
      .filter(([, { secrecy }]) => secrecy !== 'secret')
      .flatMap(([name, setting]) => {
        const type = typesOf(setting);
        const current = [name, { type, description: setting.description }];
        if (setting.formerly === undefined) return [current];
        return [current, [setting.formerly, { type, description: `Deprecated: now ${name}.`, deprecated: true }]];
      }),
  ),
);
const quantities = map({
  cpu: { type: ['string', 'number'] },
  memory: text,
  'ephemeral-storage': text,
});
const resources = map({ requests: quantities, limits: quantities });
const algorithm = oneOf('least-connections', 'round-robin', 'latency', 'consistent-hashing');

/** Its keys have descriptions, which the README lists. */
export const workload = map({
  roles: {
    ...someOf([...roles, ...Object.keys(formerRoles)]),
    description: `What it does; everything if absent.${Object.entries(formerRoles)
      .map(([former, now]) => ` \`${former}\` is deprecated: now \`${now}\`.`)
      .join('')}`,
  },
  contexts: { ...someOf(contexts.map(({ name }) => name)), description: 'For which contexts; all if absent.' },
  projections: {
    ...someOf(contexts.flatMap(({ projections }) => projections.map(({ projection }) => projection.name))),
    description: 'Which projections it feeds; all of its contexts if absent.',
  },
  replicas: { ...whole(0), description: 'The number of pods, or their minimum if it is scaled; 1 if absent.' },
  maxReplicas: {
    ...whole(0),
    description:
      'The maximum number of pods. Absent or 0: it is not scaled. On `queues`, at most the largest number of parts of its handlers.',
  },
  scaleOn: {
    ...oneOf('cpu', 'queues'),
    description: 'What it is scaled on: `cpu` (an HPA) or `queues` (KEDA, on the depth of the queues that it reads).',
  },
  target: {
    ...whole(1),
    description: 'The load per pod: percent of its CPU request (70), or messages (four times its prefetch).',
  },
  public: {
    type: 'boolean',
    description: 'Whether gateways route calls to it; true if absent. false: it serves the other workloads only.',
  },
  algorithm: { ...algorithm, description: 'How Kong spreads calls over its pods; `kong.algorithm` if absent.' },
  resources: { ...resources, description: 'Memory and CPU, merged into `resources`.' },
  settings: { ...settingsSchema, description: 'Settings of its own, merged into `settings`.' },
  tlsSecret: { ...text, description: 'A Secret like `tls.secret`, of its own; `tls.secret` if absent.' },
  enabled: { type: 'boolean', description: 'false removes a workload of the preset.' },
});

export const job = map(
  {
    args: { ...listOf(text), minItems: 1, description: 'The command of caudal: `[rebuild, order-details]`.' },
    schedule: { ...text, description: 'When, in the syntax of cron. Absent: on request only.' },
  },
  { required: ['args'] },
);

export const consumer = map(
  {
    credentials: {
      ...listOf(text),
      minItems: 1,
      // In Kong's definition it is a set.
      uniqueItems: true,
      description: 'Names of the Secrets with its credentials.',
    },
  },
  { required: ['credentials'] },
);

const port = whole(1024, 65535);

/** By key: the schema where its default does not give it. */
const particulars: Record<string, Schema> = {
  preset: oneOf('monolith', 'small', 'production', 'none'),
  'tls.stage': oneOf('', 'accept', 'call', 'require'),
  workloads: byName(workload),
  settings: settingsSchema,
  jobs: byName(job),
  podLabels: texts,
  podAnnotations: texts,
  nodeSelector: texts,
  tolerations: ofKubernetes,
  resources,
  logLevel: oneOf('debug', 'info', 'warn', 'error'),
  'database.maxConnections': whole(1),
  'image.repository': { ...text, minLength: 1 },
  'image.digest': { ...text, pattern: '^(sha256:[0-9a-f]{64})?$' },
  'image.pullPolicy': oneOf('Always', 'IfNotPresent', 'Never'),
  'image.pullSecrets': listOf(text),
  'ports.grpc': port,
  'ports.rest': port,
  'ports.metrics': port,
  // CAUDAL_SHUTDOWN_GRACE is 2 min at most.
  'shutdown.graceSeconds': whole(0, 120),
  'shutdown.stopSeconds': whole(10),
  'serviceAccount.annotations': texts,
  'podDisruptionBudget.maxUnavailable': { type: ['integer', 'string'] },
  'keda.pollingInterval': whole(1),
  'keda.cooldownPeriod': whole(0),
  'keda.activation': whole(0),
  'autoscaling.scaleDownSeconds': whole(0, 3600),
  'networkPolicy.gateways': ofKubernetes,
  'networkPolicy.monitoring': ofKubernetes,
  'networkPolicy.egress': ofKubernetes,
  'monitoring.interval': { ...text, pattern: '^[0-9]+(ms|s|m)$' },
  'monitoring.labels': texts,
  'monitoring.dashboardLabels': texts,
  'kong.algorithm': algorithm,
  'kong.hashOn': map(
    { input: oneOf('ip', 'consumer'), header: text },
    // Kong refuses both together. So the default is in the template: in values.yaml, it would be merged with a given header.
    { maxProperties: 1 },
  ),
  'kong.auth': oneOf('none', 'jwt', 'key-auth'),
  'kong.consumers': byName(consumer),
  'kong.rateLimit.perMinute': whole(0),
  'kong.rateLimit.policy': oneOf('local', 'redis'),
  'kong.requestSizeMegabytes': whole(0),
  'kong.corsOrigins': listOf(text),
  'networkPolicy.outside': listOf({ ...text, pattern: '^[0-9a-fA-F.:]+/[0-9]{1,3}$' }),
};

export function valuesSchema(keys: ValueKey[]): Schema {
  const used = new Set<string>();
  const schema = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the chart caudal',
    ...below([], keys, used),
  };
  const unknown = Object.keys(particulars).filter((key) => !used.has(key));
  if (unknown.length > 0) throw new Error(`values.yaml has no ${unknown.join(', ')}, but schema.ts describes it`);
  return schema;
}

function below(path: string[], keys: ValueKey[], used: Set<string>): Schema {
  const children = keys.filter((key) => key.path.length === path.length + 1 && path.every((p, i) => key.path[i] === p));
  const properties = children.map((key) => {
    const name = key.path.join('.');
    const particular = particulars[name];
    if (particular) used.add(name);
    const schema = particular ?? (key.parent ? below(key.path, keys, used) : byDefault(key));
    return [key.path.at(-1)!, key.comment ? { description: key.comment, ...schema } : schema];
  });
  // Helm itself merges `global` into the values of every chart.
  const more = path.length === 0 ? { global: { type: 'object' } } : {};
  return map({ ...Object.fromEntries(properties), ...more });
}

function byDefault({ path, value }: ValueKey): Schema {
  switch (typeof value) {
    case 'boolean':
      return { type: 'boolean' };
    case 'number':
      return { type: 'integer' };
    case 'string':
      return { type: 'string' };
  }
  // The credentials, each on one line.
  if (value && typeof value === 'object' && 'existingSecret' in value) return map({ existingSecret: text, key: text });
  throw new Error(`Add the schema of ${path.join('.')} to schema.ts: it doesn't follow from ${JSON.stringify(value)}`);
}

/**
 * k8s/kong/kong.yml, for a Kong without a database outside Kubernetes. It is rendered from the chart as the ingress
 * controller would read it, so that routes, checks and plugins are the same in both.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseAllDocuments, stringify } from 'yaml';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));

/** The values of one Caudal that does everything on one machine; the hosts are its listeners' addresses. */
const values = [
  'kong.enabled=true',
  'kong.auth=none',
  'kong.rateLimit.perMinute=6000',
  'settings.CAUDAL_CORS_ORIGINS=https://shop.example',
  'secrets.DATABASE_URL.existingSecret=any',
  'secrets.CAUDAL_JWKS.existingSecret=any',
  'secrets.CAUDAL_PERSONAL_DATA_KEYS.existingSecret=any',
  'settings.PAYMENTS_GATEWAY=sandbox',
  'settings.CAUDAL_TRUSTED_PROXIES=127.0.0.1',
];
const listeners = { rest: { protocol: 'http', port: 8080 }, grpc: { protocol: 'grpc', port: 9090 } } as const;
type ListenerName = keyof typeof listeners;

interface Manifest {
  kind: string;
  metadata: { name: string; annotations?: Record<string, string> };
  spec?: {
    rules?: { http: { paths: { path: string; pathType: string; backend: { service: { name: string } } }[] } }[];
    algorithm?: string;
    selector?: object;
    healthchecks?: unknown;
  };
  plugin?: string;
  config?: unknown;
}

/**
 * `httpPath` becomes `http_path`, at every depth: the only difference between Kubernetes' resources and Kong's own
 * configuration.
 */
function snakeCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCase);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, of]) => [key.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`), snakeCase(of)]),
  );
}

const ingressesOf = (ingresses: Manifest[], listener: ListenerName) =>
  ingresses.filter(({ spec }) => spec!.rules![0]!.http.paths[0]!.backend.service.name.endsWith(`-${listener}`));

function routeOf({ metadata: { name, annotations = {} }, spec }: Manifest): object {
  const methods = annotations['konghq.com/methods']?.split(',');
  return {
    name: name.replace('caudal-api-', ''),
    protocols: (annotations['konghq.com/protocols'] ?? 'http,https').split(','),
    ...(methods && { methods }),
    strip_path: annotations['konghq.com/strip-path'] === 'true',
    // In an Ingress, a path that is a regular expression begins with `/~` instead of `~`. An exact path becomes a
    // regular expression too.
    paths: spec!.rules![0]!.http.paths.map(({ path, pathType }) => {
      if (pathType === 'Prefix') return path;
      return path.startsWith('/~') ? path.slice(1) : `~${exact(path)}$`;
    }),
  };
}

/** How often a call is tried, and how long Kong waits: the annotations of a Service, by Kong's own names. */
function triesOf(services: Manifest[], listener: ListenerName): object {
  const { annotations = {} } = services.find(({ metadata: { name } }) => name.endsWith(`-${listener}`))!.metadata;
  const given = ['retries', 'connect-timeout', 'read-timeout'].flatMap((name) => {
    const value = annotations[`konghq.com/${name}`];
    return value === undefined ? [] : [[name.replace('-', '_'), Number(value)]];
  });
  return Object.fromEntries(given);
}

const exact = (path: string) => path.replaceAll('.', '\\.');

/** What the file can't say, because it is Kong's own configuration. */
export const kongHead = `# Kong 3.9, without a database. In its kong.conf (or as KONG_... in its environment):
#   database = off, declarative_config = <this file>
#   status_listen = 127.0.0.1:8100      its metrics: the plugin prometheus has no port of its own
#   trusted_ips, real_ip_header         behind a balancer: otherwise callers without a token have the balancer's address
#   untrusted_lua = sandbox             the default; the plugin post-function needs no more
# Caudal behind it needs CAUDAL_TRUSTED_PROXIES with Kong's addresses: otherwise all callers have Kong's, and one caller's wrong tokens
# keep the others out.
# For traces add the plugin opentelemetry, and with it tracing_instrumentations = request and tracing_sampling_rate. With the plugin
# alone Kong marks every call as not traced, and Caudal's own traces end.
`;

export async function kongConfiguration(): Promise<string> {
  const { stdout: helm } = await run(`${root}test/cluster/tools`, ['helm']);
  const { stdout } = await run(
    helm.trim(),
    // A helm that is built from its module has no default version of Kubernetes.
    [
      'template',
      'caudal',
      `${root}charts/caudal`,
      '--kube-version=1.36.0',
      ...values.flatMap((value) => ['--set', value]),
    ],
    { maxBuffer: 2 ** 24 },
  );
  const manifests = parseAllDocuments(stdout).map((document) => document.toJS() as Manifest);
  const ofKind = (kind: string) => manifests.filter((manifest) => manifest?.kind === kind);
  const plugins = new Map(
    ofKind('KongPlugin').map(({ metadata, plugin, config }) => [metadata.name, { name: plugin, config }]),
  );
  const [policy] = ofKind('KongUpstreamPolicy');
  const ingresses = ofKind('Ingress');
  /** All Ingresses of a listener have the same plugins. */
  const pluginsOf = ([first]: Manifest[]) => first!.metadata.annotations!['konghq.com/plugins']!.split(',');
  const global = new Set(
    [...plugins.keys()].filter((name) =>
      ['correlation-id', 'post-function', 'rate-limiting'].includes(plugins.get(name)!.name!),
    ),
  );
  return stringify(
    {
      _format_version: '3.0',
      services: (Object.keys(listeners) as ListenerName[]).map((listener) => {
        const ofListener = ingressesOf(ingresses, listener);
        return {
          name: `caudal-${listener}`,
          protocol: listeners[listener].protocol,
          host: `caudal-${listener}`,
          port: listeners[listener].port,
          ...triesOf(ofKind('Service'), listener),
          routes: ofListener.map(routeOf),
          plugins: pluginsOf(ofListener)
            .filter((name) => !global.has(name))
            .map((name) => plugins.get(name)),
        };
      }),
      plugins: [...global].map((name) => plugins.get(name)),
      // Weights take effect if the algorithm is round-robin or consistent-hashing.
      upstreams: (Object.keys(listeners) as ListenerName[]).map((listener) => ({
        name: `caudal-${listener}`,
        algorithm: policy!.spec!.algorithm,
        healthchecks: snakeCase(policy!.spec!.healthchecks),
        targets: [{ target: `127.0.0.1:${listeners[listener].port}`, weight: 100 }],
      })),
    },
    { lineWidth: 0, blockQuote: 'literal', aliasDuplicateObjects: false },
  );
}

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
  'kong.corsOrigins={https://shop.example}',
  'kong.otlpTracesEndpoint=http://collector:4318/v1/traces',
  'secrets.DATABASE_URL.existingSecret=any',
  'secrets.CAUDAL_JWKS.existingSecret=any',
  'settings.PAYMENTS_GATEWAY=sandbox',
];
const listeners = { rest: { protocol: 'http', port: 8080 }, grpc: { protocol: 'grpc', port: 9090 } } as const;
type ListenerName = keyof typeof listeners;

interface Manifest {
  kind: string;
  metadata: { name: string; annotations?: Record<string, string> };
  spec?: {
    rules?: { http: { paths: { path: string; backend: { service: { name: string } } }[] } }[];
    algorithm?: string;
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
    paths: spec!.rules![0]!.http.paths.map(({ path }) => (path.startsWith('/~') ? path.slice(1) : `~${exact(path)}$`)),
  };
}

const exact = (path: string) => path.replaceAll('.', '\\.');

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
          // Repeats are left to the client, which knows whether a call may be repeated.
          retries: 0,
          routes: ofListener.map(routeOf),
          // All Ingresses of a listener have the same plugins.
          plugins: ofListener[0]!.metadata
            .annotations!['konghq.com/plugins']!.split(',')
            .map((name) => plugins.get(name)),
        };
      }),
      // Weights take effect if the algorithm is round-robin or consistent-hashing.
      upstreams: (Object.keys(listeners) as ListenerName[]).map((listener) => ({
        name: `caudal-${listener}`,
        algorithm: policy!.spec!.algorithm,
        healthchecks: snakeCase(policy!.spec!.healthchecks),
        targets: [{ target: `127.0.0.1:${listeners[listener].port}`, weight: 100 }],
      })),
    },
    { lineWidth: 120, aliasDuplicateObjects: false },
  );
}

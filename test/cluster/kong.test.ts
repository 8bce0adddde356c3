/** Kong routes every public method to the workload that serves it, and nothing else. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { contract } from '@caudal/contract/descriptors.ts';
import { corsAnswerHeaders, corsRequestHeaders } from '@caudal/rpc/rest/cors.ts';
import { expect, test } from '@jest/globals';
import { parse, stringify } from 'yaml';
import {
  chart,
  describeWithTools,
  laidOver,
  type Manifest,
  ofKind,
  presets,
  type Rendered,
  render,
  root,
} from './chart.ts';

const methods = contract().methods();
const open = methods.filter(({ access }) => !access.internal);
const isQuery = (service: string) => service.endsWith('QueryService');
/** `/v1/orders/{order_id}:cancel` with values in place of the names. */
const called = (template: string) => template.replace(/\{[^}]+\}/g, '0190-x.Y_~');

interface Route {
  methods: string[];
  matches(path: string): boolean;
  service: string;
}

function routesOf(release: Rendered, listener: 'rest' | 'grpc'): Route[] {
  return ofKind(release, 'Ingress').flatMap(({ metadata, spec }) =>
    spec.rules[0].http.paths
      .filter((path: Manifest['spec']) => path.backend.service.port.name === listener)
      .map(({ path, pathType, backend }: Manifest['spec']) => ({
        methods: metadata.annotations!['konghq.com/methods']?.split(',') ?? [],
        matches: (asked: string) => {
          if (pathType === 'Prefix') return asked.startsWith(path);
          return path.startsWith('/~') ? new RegExp(`^${path.slice(2)}`).test(asked) : path === asked;
        },
        service: backend.service.name,
      })),
  );
}

/** The Services that a call may reach; with more than one the choice would be random. */
const reached = (routes: Route[], path: string, method?: string) => [
  ...new Set(
    routes
      .filter((route) => (!method || route.methods.includes(method)) && route.matches(path))
      .map(({ service }) => service),
  ),
];

describeWithTools(['helm'], 'Kong', ({ helm }) => {
  const kong = (values = {}, preset = 'small') =>
    render(helm!, laidOver(presets[preset]!, { kong: { enabled: true, ...values } }));

  test('every public method has its routes, to the workload that serves it', async () => {
    const release = await kong();
    const [rest, grpc] = [routesOf(release, 'rest'), routesOf(release, 'grpc')];
    for (const { path, service, http, access } of open) {
      const workload = isQuery(service) ? 'query' : 'command';
      expect([path, reached(grpc, path)]).toEqual([path, access.webhook ? [] : [`caudal-${workload}-grpc`]]);
      for (const { method, template } of http)
        expect([method, template, reached(rest, called(template), method)]).toEqual([
          method,
          template,
          [`caudal-${workload}-rest`],
        ]);
    }
  });

  test('internal methods and other paths have no route', async () => {
    const release = await kong();
    const [rest, grpc] = [routesOf(release, 'rest'), routesOf(release, 'grpc')];
    for (const { path } of methods.filter(({ access }) => access.internal)) expect(reached(grpc, path)).toEqual([]);
    for (const path of ['/readyz', '/metrics', '/openapi.json', '/docs/', '/x/v1/orders'])
      expect(reached(rest, path)).toEqual([]);
    // Unknown paths of the API, and known ones with other methods, are answered by Caudal, whose answer is a problem.
    const others = rest.filter(({ methods: of }) => of.length === 0);
    expect(others.map(({ matches }) => ['/v1/orders/1/2', '/v1/orders', '/v2/orders'].map(matches))).toEqual([
      [true, true, false],
    ]);
    expect(reached(grpc, '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo')).toEqual([]);
  });

  test('endpoints without a token are reached without one, and nothing else is', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'caudal-open-'));
    try {
      cpSync(chart, folder, { recursive: true });
      const file = join(folder, 'files/topology.yaml');
      const topology = parse(readFileSync(file, 'utf8')) as { contexts: { endpoints: { command: object } }[] };
      const rest = [{ method: 'POST', path: '/v1/webhooks/gateway' }];
      topology.contexts[0]!.endpoints.command = {
        ...topology.contexts[0]!.endpoints.command,
        open: { rest, grpc: ['/caudal.catalog.v1.CatalogService/Open'] },
      };
      writeFileSync(file, stringify(topology));
      const consumers = { shop: { credentials: ['shop-key'] } };
      for (const auth of ['jwt', 'key-auth']) {
        const values = laidOver(presets.small!, {
          kong: { enabled: true, auth, consumers, corsOrigins: ['https://shop.example'] },
        });
        const release = await render(helm!, values, 'caudal', folder);
        const ingresses = ofKind(release, 'Ingress');
        const open = ingresses.filter(({ metadata }) => metadata.name.includes('-open-'));
        expect(open.map(({ metadata, spec }) => [metadata.name, spec.rules[0].http.paths[0].path])).toEqual([
          ['caudal-command-open-rest-post', '/~/v1/webhooks/gateway$'],
          ['caudal-command-open-grpc', '/caudal.catalog.v1.CatalogService/Open'],
          ['caudal-query-open-rest-get', '/~/track/[^/]+$'],
          ['caudal-query-open-grpc', '/caudal.tracking.v1.TrackingPageQueryService/ShowTrackingPage'],
        ]);
        for (const { metadata } of ingresses) {
          const named = metadata.annotations!['konghq.com/plugins']!.split(',');
          expect([metadata.name, named.includes(`caudal-${auth}`)]).toEqual([
            metadata.name,
            !open.some((each) => each.metadata === metadata),
          ]);
          expect(named).toContain('caudal-prometheus');
          expect(named.includes('caudal-cors')).toBe(!metadata.name.endsWith('-grpc'));
        }
        expect(reached(routesOf(release, 'rest'), '/v1/webhooks/gateway', 'POST')).toEqual(['caudal-command-rest']);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('a body may be as long as the longest that a method accepts', async () => {
    const [limit] = ofKind(await kong(), 'KongPlugin').filter(({ metadata }) =>
      metadata.name.endsWith('size-limiting'),
    );
    const { config } = limit as unknown as { config: { allowed_payload_size: number; size_unit: string } };
    expect(config.size_unit).toBe('megabytes');
    const bounds = open.flatMap(({ http, maxRequestBytes }) => (http.length > 0 ? (maxRequestBytes ?? 2 ** 22) : []));
    expect(config.allowed_payload_size * 2 ** 20).toBeGreaterThanOrEqual(Math.max(...bounds));
  });

  test('REST and gRPC never share a Service or a port', async () => {
    const release = await kong();
    const services = ofKind(release, 'Service').filter(({ metadata }) => metadata.annotations?.['konghq.com/protocol']);
    for (const { metadata, spec } of services) {
      const grpc = metadata.name.endsWith('-grpc');
      expect(metadata.annotations!['konghq.com/protocol']).toBe(grpc ? 'grpc' : 'http');
      expect(spec.ports).toEqual([
        grpc ? { name: 'grpc', port: 9090, targetPort: 'grpc' } : { name: 'rest', port: 8080, targetPort: 'rest' },
      ]);
    }
    expect(services.map(({ metadata }) => metadata.name)).toEqual([
      'caudal-command-grpc',
      'caudal-command-rest',
      'caudal-query-grpc',
      'caudal-query-rest',
    ]);
  });

  test('pods are probed every 10 s on their own port, and the results of calls do not override the probes', async () => {
    const release = await kong();
    const policies = ofKind(release, 'KongUpstreamPolicy');
    expect(policies.map(({ spec }) => spec.algorithm)).toEqual(['least-connections']);
    const [{ spec }] = policies as [Manifest];
    expect(spec.healthchecks.active).toMatchObject({
      // Not grpc: Kong accepts it, and then calls hang. Not tcp: it never probes.
      type: 'http',
      httpPath: '/readyz',
      healthy: { interval: 10, successes: 3 },
      unhealthy: { interval: 10, httpFailures: 3, tcpFailures: 3, timeouts: 3 },
    });
    expect(spec.healthchecks.passive.healthy.successes).toBe(0);
    // The controller uses a policy only for a Service behind an Ingress, and sets its name itself.
    const behind = new Set(
      ofKind(release, 'Ingress').map(({ spec: of }) => of.rules[0].http.paths[0].backend.service.name),
    );
    for (const service of ofKind(release, 'Service').filter(({ metadata }) => behind.has(metadata.name)))
      expect(service.metadata.annotations!['konghq.com/upstream-policy']).toBe(policies[0]!.metadata.name);
  });

  test('each workload can have an algorithm of its own', async () => {
    const release = await render(
      helm!,
      laidOver(presets.small!, {
        kong: { enabled: true, hashOn: { input: 'consumer' } },
        workloads: { query: { algorithm: 'consistent-hashing' } },
      }),
    );
    const policies = new Map(ofKind(release, 'KongUpstreamPolicy').map(({ metadata, spec }) => [metadata.name, spec]));
    expect([...policies.keys()].sort()).toEqual(['caudal-consistent-hashing', 'caudal-least-connections']);
    expect(policies.get('caudal-consistent-hashing').hashOn).toEqual({ input: 'consumer' });
    const query = ofKind(release, 'Service').find(({ metadata }) => metadata.name === 'caudal-query-rest')!;
    expect(query.metadata.annotations!['konghq.com/upstream-policy']).toBe('caudal-consistent-hashing');
  });

  test('hashing by a header: calls without it are spread by address', async () => {
    const release = await kong({ algorithm: 'consistent-hashing', hashOn: { header: 'x-tenant' } });
    const [policy] = ofKind(release, 'KongUpstreamPolicy');
    expect(policy!.spec).toMatchObject({ hashOn: { header: 'x-tenant' }, hashOnFallback: { input: 'ip' } });
    const [byAddress] = ofKind(await kong({ algorithm: 'consistent-hashing' }), 'KongUpstreamPolicy');
    expect(byAddress!.spec.hashOn).toEqual({ input: 'ip' });
    // In Kong's definition an input that is always there has no fallback.
    expect(byAddress!.spec.hashOnFallback).toBeUndefined();
  });

  test('an Ingress names only existing plugins, and gRPC none that are for REST only', async () => {
    const release = await kong({
      auth: 'key-auth',
      consumers: { shop: { credentials: ['shop-key'] } },
      rateLimit: { perMinute: 60 },
      corsOrigins: ['https://shop.example'],
      otlpTracesEndpoint: 'http://collector:4318/v1/traces',
    });
    const plugins = ofKind(release, 'KongPlugin').map(({ metadata }) => metadata.name);
    expect(plugins.sort()).toEqual(
      [
        'correlation-id',
        'cors',
        'key-auth',
        'opentelemetry',
        'post-function',
        'prometheus',
        'rate-limiting',
        'request-size-limiting',
      ].map((name) => `caudal-${name}`),
    );
    for (const { metadata } of ofKind(release, 'Ingress')) {
      const named = metadata.annotations!['konghq.com/plugins']!.split(',');
      const rest = !metadata.name.endsWith('-grpc');
      // Guests have no key.
      const open = metadata.name.includes('-open-');
      const isExpected = (name: string) =>
        (rest || !/cors|size|post-function/.test(name)) && !(open && name === 'caudal-key-auth');
      expect(named.sort()).toEqual(plugins.filter(isExpected));
      // A browser first sends OPTIONS; if the list lacked it, Kong would have no route for that.
      if (rest && !metadata.name.endsWith('-rest-other'))
        expect(metadata.annotations!['konghq.com/methods']).toContain('OPTIONS');
    }
    const limit = release.manifests.find(({ metadata }) => metadata.name === 'caudal-rate-limiting') as unknown as {
      config: object;
    };
    expect(limit.config).toMatchObject({ limit_by: 'consumer', minute: 60 });
  });

  test('web pages may call by the settings of the listeners, or by the older value; Kong answers as they do', async () => {
    const pluginOf = (release: Rendered) =>
      release.manifests.find(({ metadata }) => metadata.name === 'caudal-cors') as unknown as
        | { config: Record<string, unknown> }
        | undefined;
    const methods = [...new Set(open.flatMap(({ http }) => http.map(({ method }) => method)))];
    const settings = {
      CAUDAL_CORS_ORIGINS: 'https://shop.example, http://localhost:5173',
      CAUDAL_CORS_MAX_AGE: '1.5m',
    };
    const release = await render(helm!, laidOver(presets.small!, { kong: { enabled: true }, settings }));
    expect(pluginOf(release)!.config).toEqual({
      origins: ['https://shop.example', 'http://localhost:5173'],
      methods: ['HEAD', ...methods].sort(),
      headers: corsRequestHeaders,
      exposed_headers: corsAnswerHeaders,
      credentials: false,
      max_age: 90,
    });
    for (const { metadata } of ofKind(release, 'Ingress').filter(({ metadata: of }) =>
      /-rest-(get|post|patch)$/.test(of.name),
    ))
      expect(metadata.annotations!['konghq.com/methods']).toContain('OPTIONS');
    const older = await kong({
      corsOrigins: ['https://shop.example'],
      auth: 'key-auth',
      consumers: { a: { credentials: ['b'] } },
    });
    expect(pluginOf(older)!.config).toMatchObject({
      origins: ['https://shop.example'],
      headers: [...corsRequestHeaders, 'apikey'],
      max_age: 600,
    });
    expect(pluginOf(await kong())).toBeUndefined();
    const both = laidOver(presets.small!, { kong: { enabled: true, corsOrigins: ['https://shop.example'] }, settings });
    await expect(render(helm!, both)).rejects.toThrow(/leave kong.corsOrigins out/);
  });

  test('limits count for each caller: by its token, since with jwt all callers of an issuer are one consumer', async () => {
    const consumers = { issuer: { credentials: ['issuer-key'] } };
    for (const auth of ['none', 'jwt']) {
      const release = await kong({ auth, consumers, rateLimit: { perMinute: 60 } });
      const limit = release.manifests.find(({ metadata }) => metadata.name === 'caudal-rate-limiting') as unknown as {
        config: object;
      };
      expect(limit.config).toMatchObject({ limit_by: 'header', header_name: 'authorization' });
    }
  });

  test('a call is tried again where nothing was sent, and no process is waited for longer than a call may take', async () => {
    const services = ofKind(await kong(), 'Service').filter(
      ({ metadata }) => metadata.annotations?.['konghq.com/protocol'],
    );
    expect(services.length).toBe(4);
    for (const { metadata } of services) {
      const rest = metadata.name.endsWith('-rest');
      expect(metadata.annotations).toMatchObject({
        // With none the passive checks see no refused connection.
        'konghq.com/retries': '2',
        'konghq.com/connect-timeout': '2000',
        ...(rest && { 'konghq.com/read-timeout': '10000' }),
      });
      if (!rest) expect(metadata.annotations).not.toHaveProperty('konghq.com/read-timeout');
    }
  });

  test('HEAD is served wherever GET is, and what has no route under /v1/ by Caudal', async () => {
    const ingresses = ofKind(await kong({ corsOrigins: ['https://shop.example'] }), 'Ingress');
    const methodsOf = (suffix: string) =>
      ingresses
        .filter(({ metadata }) => metadata.name.endsWith(suffix))
        .map(({ metadata }) => metadata.annotations!['konghq.com/methods']);
    expect(new Set(methodsOf('-rest-get'))).toEqual(new Set(['GET,HEAD,OPTIONS']));
    expect(new Set(methodsOf('-rest-post'))).toEqual(new Set(['POST,OPTIONS']));
    expect(methodsOf('-rest-other')).toEqual([undefined]);
  });

  test('an id that Caudal refuses does not come back from Kong', async () => {
    const [plugin] = ofKind(await kong(), 'KongPlugin').filter(({ metadata }) =>
      metadata.name.endsWith('correlation-id'),
    );
    expect(plugin).toMatchObject({ config: { header_name: 'x-request-id', echo_downstream: false } });
  });

  test('workloads that are not public have no route', async () => {
    const workloads = { admin: { contexts: ['orders'], roles: ['command', 'query'], public: false } };
    const release = await render(helm!, laidOver(presets.small!, { kong: { enabled: true }, workloads }));
    expect(ofKind(release, 'Ingress').filter(({ metadata }) => metadata.name.includes('admin'))).toEqual([]);
    expect(ofKind(release, 'Service').map(({ metadata }) => metadata.name)).toContain('caudal-admin-grpc');
  });
});

interface KongConfiguration {
  plugins: { name: string; config: Record<string, unknown> }[];
  services: {
    plugins: { name: string }[];
    retries: number;
    connect_timeout: number;
    read_timeout?: number;
    protocol: string;
    host: string;
    routes: { methods?: string[]; paths: string[]; protocols: string[] }[];
  }[];
  upstreams: {
    name: string;
    targets: { target: string }[];
    healthchecks: { passive: { healthy: object }; active: object };
  }[];
}

test('kong.yml, for a Kong without Kubernetes, has a route for every public method', () => {
  const { services, upstreams, plugins } = parse(
    readFileSync(join(root, 'k8s/kong/kong.yml'), 'utf8'),
  ) as KongConfiguration;
  const find = (protocol: string, path: string, method?: string) =>
    services
      .filter((service) => service.protocol === protocol)
      .flatMap(({ routes }) => routes)
      .filter(({ methods: of }) => !method || of?.includes(method))
      .flatMap(({ paths }) => paths)
      .filter((pattern) => new RegExp(`^${pattern.slice(1)}`).test(path));
  for (const { path, http, access } of open) {
    expect([path, find('grpc', path)]).toEqual([path, access.webhook ? [] : [expect.any(String)]]);
    for (const { method, template } of http)
      expect([template, find('http', called(template), method)]).toEqual([template, [expect.any(String)]]);
  }
  expect(
    services.map(({ retries, connect_timeout, read_timeout }) => [retries, connect_timeout, read_timeout]),
  ).toEqual([
    [2, 2_000, 10_000],
    [2, 2_000, undefined],
  ]);
  // These also see what has no route, and count REST and gRPC together.
  expect(plugins.map(({ name }) => name)).toEqual(['correlation-id', 'post-function', 'rate-limiting']);
  // With a usual kong.conf it sends nothing, and ends the traces of Caudal.
  expect(services.flatMap(({ plugins: of }) => of.map(({ name }) => name))).not.toContain('opentelemetry');
  expect(find('http', '/v1/wallets/1', 'HEAD')).toHaveLength(1);
  expect(upstreams.map(({ targets }) => targets[0]!.target)).toEqual(['127.0.0.1:8080', '127.0.0.1:9090']);
  for (const { healthchecks } of upstreams) {
    expect(healthchecks.active).toMatchObject({
      type: 'http',
      http_path: '/readyz',
      unhealthy: { http_failures: 3, tcp_failures: 3 },
    });
    expect(healthchecks.passive.healthy).toEqual({ successes: 0 });
  }
});

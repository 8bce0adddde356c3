/** What follows from a workload, and what is refused. */
import { partQueueName, queueName } from '@caudal/messaging/rabbitmq/topology.ts';
import { isMultiStream } from '@caudal/projections/multi-stream/types.ts';
import { generationName } from '@caudal/projections/projector.ts';
import { contexts } from '@caudal/server/contexts.ts';
import {
  contextsOfCredentials,
  contextsWithPersonalData,
  rolesOfCredentials,
} from '@caudal/server/settings/credential-roles.ts';
import { type Role, settings } from '@caudal/server/settings/settings.ts';
import { expect, test } from '@jest/globals';
import { topology } from '../../scripts/charts/topology.ts';
import {
  describeWithTools,
  laidOver,
  type Manifest,
  ofKind,
  podsOf,
  presets,
  type Rendered,
  render,
  secrets,
} from './chart.ts';

const envOf = (pod: Manifest['spec']): Record<string, string> =>
  Object.fromEntries(
    (pod.containers[0].env ?? []).map(({ name, value }: { name: string; value: string }) => [name, value]),
  );

const podOf = (rendered: Rendered, name: string) => podsOf(rendered).find((each) => each.name === name)!.pod;

describeWithTools(['helm'], 'workloads', ({ helm }) => {
  const rendered = (preset: string, values = {}) => render(helm!, laidOver(presets[preset]!, values));

  test('pods may call the archive at the port of its server', async () => {
    const portsTo = async (endpoint: string) =>
      ofKind(
        await rendered('monolith', { settings: { CAUDAL_ARCHIVE_ENDPOINT: endpoint }, networkPolicy: { egress: [] } }),
        'NetworkPolicy',
      )
        .flatMap(({ spec }) => spec.egress ?? [])
        .flatMap(({ ports = [] }) => ports.map(({ port }: { port: number }) => port));
    expect(await portsTo('http://minio.store:9000')).toEqual([53, 53, 9000]);
    expect(await portsTo('https://s3.example.com')).toEqual([53, 53, 443]);
    expect(await portsTo('http://s3.example.com/')).toEqual([53, 53, 80]);
  });

  test.each(Object.keys(presets))('%s: pods have no right that they do not need', async (preset) => {
    const jobs = { 'rebuild-orders': { args: ['rebuild', 'order-details'] } };
    const pods = podsOf(await rendered(preset, { jobs }));
    expect(pods.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['caudal-migrate', 'caudal-test', 'caudal-rebuild-orders']),
    );
    for (const { pod } of pods) {
      expect(pod).toMatchObject({
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      });
      for (const container of pod.containers) {
        expect(container.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(container.resources.requests.memory).toBeDefined();
        expect(container.resources.limits).toEqual({
          memory: expect.any(String),
          'ephemeral-storage': expect.any(String),
        });
        expect(JSON.stringify(container)).not.toMatch(/\/bin\/(ba)?sh/);
      }
    }
  });

  test.each(Object.keys(presets))(
    '%s: pods with commands are reached by others at their own address',
    async (preset) => {
      const variable = { name: 'CAUDAL_FORWARD_HOST', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } };
      const all = await rendered(preset);
      for (const { pod } of podsOf(all).filter(({ pod: { containers } }) => containers[0].args?.[0] === 'start')) {
        const { env } = pod.containers[0];
        const serves = env.find(({ name }: { name: string }) => name === 'CAUDAL_ROLES').value.includes('command');
        expect(env.filter(({ name }: { name: string }) => name === variable.name)).toEqual(serves ? [variable] : []);
      }
      const [policy] = ofKind(all, 'NetworkPolicy').filter(({ spec }) => spec.ingress);
      const [within] = policy!.spec.ingress;
      expect(within.from[0].podSelector).toEqual(policy!.spec.podSelector);
      expect(within.ports).toContainEqual({ port: 'grpc', protocol: 'TCP' });
    },
  );

  test.each(Object.keys(presets))(
    '%s: the variables of pods are settings, and credentials are files',
    async (preset) => {
      const all = { ...settings, LOG_LEVEL: undefined };
      for (const { name, pod } of podsOf(await rendered(preset))) {
        if (name === 'caudal-test') continue;
        const env = envOf(pod);
        const unknown = Object.keys(env).filter((key) => !Object.hasOwn(all, key.replace(/_FILE$/, '')));
        expect(unknown).toEqual([]);
        expect(env.DATABASE_URL).toBeUndefined();
        expect(env.DATABASE_URL_FILE).toBe('/run/secrets/caudal/DATABASE_URL');
        const { sources } = pod.volumes.find((volume: { name: string }) => volume.name === 'secrets').projected;
        expect(sources[0].secret).toMatchObject({ name: 'caudal' });
      }
    },
  );

  test.each(Object.keys(presets))('%s: pods get the credentials that their roles use, and no other', async (preset) => {
    const names = Object.keys(rolesOfCredentials) as (keyof typeof rolesOfCredentials)[];
    for (const { name, pod } of podsOf(await rendered(preset, { secrets: secrets(...names) }))) {
      if (pod.containers[0].args?.[0] !== 'start') continue;
      const env = envOf(pod);
      const [roles, own] = [env.CAUDAL_ROLES!.split(','), env.CAUDAL_CONTEXTS!.split(',')];
      const used = names.filter(
        (credential) =>
          (rolesOfCredentials[credential] as readonly Role[]).some((role) => {
            const only = contextsOfCredentials[credential]?.[role];
            return roles.includes(role) && (!only || only.some((of) => own.includes(of)));
          }) &&
          (credential !== 'CAUDAL_PERSONAL_DATA_KEYS' || contextsWithPersonalData.some((of) => own.includes(of))) &&
          (!credential.startsWith('TRACKING_') || own.includes('tracking')),
      );
      expect([name, names.filter((credential) => env[`${credential}_FILE`])]).toEqual([name, used]);
    }
  });

  test('only pods that use a credential get it', async () => {
    const release = await rendered('production', { secrets: secrets('CAUDAL_TOKEN_KEYS') });
    const holders = (setting: string) =>
      podsOf(release)
        .filter(({ pod }) => envOf(pod)[`${setting}_FILE`])
        .map(({ name }) => name);
    expect(holders('RABBITMQ_MANAGEMENT_URL').sort()).toEqual(['caudal-migrate', 'caudal-relay']);
    expect(holders('PAYMENTS_GATEWAY_KEY').sort()).toEqual(['caudal-migrate', 'caudal-saga-payments']);
    expect(holders('CAUDAL_TOKEN_KEYS')).not.toContain('caudal-saga-orders');
    expect(holders('MONGODB_URL')).not.toContain('caudal-command');
    expect(holders('RABBITMQ_URL')).not.toContain('caudal-query');
    for (const without of ['caudal-relay', 'caudal-order-details', 'caudal-stock-dashboard'])
      expect(holders('CAUDAL_PERSONAL_DATA_KEYS')).not.toContain(without);
    // Everything that is named exists, and there is nothing more.
    for (const { name, pod } of podsOf(release)) {
      if (name === 'caudal-test') continue;
      const { sources } = pod.volumes.find((volume: { name: string }) => volume.name === 'secrets').projected;
      const files = sources.map(({ secret }: Manifest['spec']) => secret.items[0].path);
      const named = Object.entries(envOf(pod) as Record<string, string>).flatMap(([key, value]) =>
        key.endsWith('_FILE') || value?.startsWith('file:///run/secrets/caudal/') ? [key.replace(/_FILE$/, '')] : [],
      );
      expect(named.sort()).toEqual([...files].sort());
    }
  });

  test('commands and workers get the broker where tracking is among their contexts, and nowhere else', async () => {
    const names = contexts.map(({ name }) => name);
    const rest = names.filter((name) => name !== 'tracking');
    const workloads = {
      command: { contexts: rest },
      'trace-ingest': { roles: ['command'], contexts: ['tracking'] },
      'other-workers': { roles: ['worker'], contexts: rest },
      // What it relays passes the broker, whatever its commands do.
      relay: { roles: ['relay', 'command'], contexts: names, public: false },
    };
    const holders = podsOf(await rendered('small', { workloads }))
      .filter(({ pod }) => envOf(pod).RABBITMQ_URL_FILE)
      .map(({ name }) => name);
    for (const without of ['caudal-command', 'caudal-other-workers', 'caudal-query'])
      expect(holders).not.toContain(without);
    for (const holder of ['caudal-trace-ingest', 'caudal-worker', 'caudal-relay', 'caudal-projector', 'caudal-migrate'])
      expect(holders).toContain(holder);
  });

  test('key sets are places, which processes read again', async () => {
    const values = { secrets: { CAUDAL_SERVICE_JWKS: { existingSecret: 'keys-public' } } };
    for (const { name, pod } of podsOf(await rendered('small', values))) {
      if (name === 'caudal-test') continue;
      for (const setting of ['CAUDAL_JWKS', 'CAUDAL_SERVICE_JWKS'])
        expect(envOf(pod)[setting]).toBe(`file:///run/secrets/caudal/${setting}`);
      // With subPath the kubelet would not update it.
      expect(pod.containers[0].volumeMounts).toContainEqual({
        ...{ name: 'secrets', mountPath: '/run/secrets/caudal', readOnly: true },
      });
    }
  });

  test.each(Object.keys(presets))(
    '%s: each workload signs with a key of its own, if there are some',
    async (preset) => {
      const values = {
        serviceKeys: { secretPrefix: 'keys' },
        secrets: { CAUDAL_SERVICE_JWKS: { existingSecret: 'keys-public' }, CAUDAL_SERVICE_KEY: { existingSecret: '' } },
      };
      for (const { name, pod } of podsOf(await rendered(preset, values))) {
        if (name === 'caudal-test') continue;
        const { sources } = pod.volumes.find((volume: { name: string }) => volume.name === 'secrets').projected;
        const own = sources.filter(({ secret }: Manifest['spec']) => secret.items[0].path === 'CAUDAL_SERVICE_KEY');
        const isWorkload = pod.containers[0].args?.[0] === 'start';
        expect(own.map(({ secret }: Manifest['spec']) => secret.name)).toEqual(
          isWorkload ? [name.replace('caudal-', 'keys-')] : [],
        );
        expect(envOf(pod).CAUDAL_CREDENTIALS).toBe('required');
      }
    },
  );

  test("every process gets the user's certificate authorities", async () => {
    for (const { name, pod } of podsOf(
      await rendered('small', { caBundle: { configMap: 'authorities', key: 'root.pem' } }),
    )) {
      if (name === 'caudal-test') continue;
      expect(envOf(pod).CAUDAL_TRUSTED_CA).toBe('/run/ca/ca.crt');
      expect(pod.volumes).toContainEqual({
        name: 'ca',
        configMap: { name: 'authorities', items: [{ key: 'root.pem', path: 'ca.crt' }] },
      });
      expect(pod.containers[0].volumeMounts).toContainEqual({ name: 'ca', mountPath: '/run/ca', readOnly: true });
    }
  });

  test.each(Object.keys(presets))(
    '%s: pods may call no address on the internet but those that are named',
    async (preset) => {
      const rules = async (values = {}) =>
        ofKind(await rendered(preset, values), 'NetworkPolicy').flatMap(({ spec }) => spec.egress ?? []);
      const isPrivate = ({ ipBlock }: Manifest['spec']) =>
        !ipBlock || /^(10|172\.16|192\.168|100\.64|169\.254)\.|^(fc00|fe80)::/.test(ipBlock.cidr);
      const settings = { CAUDAL_ARCHIVE_ENDPOINT: 'https://s3.example.com' };
      for (const rule of await rules({ settings })) {
        expect(rule.to?.length).toBeGreaterThan(0);
        expect(rule.to.filter((peer: Manifest['spec']) => !isPrivate(peer))).toEqual([]);
      }
      const outside = await rules({ settings, networkPolicy: { outside: ['203.0.113.7/32'] } });
      const named = outside.filter(({ to }) => to.some((peer: Manifest['spec']) => !isPrivate(peer)));
      expect(named.map(({ ports }) => ports.map(({ port }: { port: number }) => port))).toEqual([
        [443],
        [443, 465, 587],
      ]);
      for (const { to } of named) expect(to).toContainEqual({ ipBlock: { cidr: '203.0.113.7/32' } });
    },
  );

  test('numbers reach processes as they were written', async () => {
    const numbers = { CAUDAL_MAX_CONCURRENT_CALLS: 2_000_000, CAUDAL_TRACE_SAMPLING: 0.05, CAUDAL_REFLECTION: false };
    const release = await rendered('monolith', { settings: numbers });
    expect(envOf(podOf(release, 'caudal-api'))).toMatchObject({
      CAUDAL_MAX_CONCURRENT_CALLS: '2000000',
      CAUDAL_TRACE_SAMPLING: '0.05',
      CAUDAL_REFLECTION: 'false',
    });
  });

  test('selectors find the right pods', async () => {
    const release = await rendered('production');
    const deployments = ofKind(release, 'Deployment');
    const found = (selector: Record<string, string>) =>
      deployments
        .filter(({ spec }) =>
          Object.entries(selector).every(([key, value]) => spec.template.metadata.labels[key] === value),
        )
        .map(({ metadata }) => metadata.name);
    for (const { metadata, spec } of deployments) expect(found(spec.selector.matchLabels)).toEqual([metadata.name]);
    for (const { metadata, spec } of ofKind(release, 'PodDisruptionBudget'))
      expect(found(spec.selector.matchLabels)).toEqual([metadata.name]);
    const service = (name: string) => ofKind(release, 'Service').find(({ metadata }) => metadata.name === name)!;
    for (const { name } of contexts) {
      expect(found(service(`caudal-${name}-command`).spec.selector)).toEqual(['caudal-command']);
      expect(found(service(`caudal-${name}-query`).spec.selector)).toEqual(['caudal-query']);
    }
    expect(found(service('caudal-metrics').spec.selector)).toEqual(deployments.map(({ metadata }) => metadata.name));
    // Headless, so that clients and Kong see the pods' addresses.
    for (const { spec } of ofKind(release, 'Service')) expect(spec.clusterIP).toBe('None');
  });

  test('CAUDAL_COMMAND_ADDRESS and CAUDAL_QUERY_ADDRESS lead to the other workloads', async () => {
    const release = await rendered('small');
    const names = ofKind(release, 'Service').map(
      ({ metadata, spec }) => `dns:///${metadata.name}:${spec.ports[0].port}`,
    );
    const env = envOf(podOf(release, 'caudal-saga'));
    for (const { name } of contexts) {
      expect(names).toContain(env.CAUDAL_COMMAND_ADDRESS!.replace('{context}', name));
      expect(names).toContain(env.CAUDAL_QUERY_ADDRESS!.replace('{context}', name));
    }
  });

  test('a pod has enough time to end, and is probed on the port that answers', async () => {
    const pod = podOf(await rendered('small', { shutdown: { graceSeconds: 20, stopSeconds: 60 } }), 'caudal-command');
    expect(envOf(pod).CAUDAL_SHUTDOWN_GRACE).toBe('20s');
    expect(pod.terminationGracePeriodSeconds).toBe(80);
    const [{ livenessProbe, readinessProbe, startupProbe, ports }] = pod.containers;
    expect(readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'grpc' });
    expect(livenessProbe.httpGet).toEqual({ path: '/livez', port: 'grpc' });
    // A process waits 60 s for PostgreSQL before it listens.
    expect(startupProbe.periodSeconds * startupProbe.failureThreshold).toBeGreaterThan(60);
    expect(ports.map(({ name }: { name: string }) => name)).toEqual(['grpc', 'metrics', 'rest']);
  });

  test('every role of every context runs in every preset', async () => {
    for (const preset of Object.keys(presets)) {
      const parts = podsOf(await rendered(preset))
        .map(({ pod }) => envOf(pod))
        .filter(({ CAUDAL_ROLES }) => CAUDAL_ROLES)
        .flatMap((env) =>
          env
            .CAUDAL_CONTEXTS!.split(',')
            .flatMap((name) => env.CAUDAL_ROLES!.split(',').map((role) => `${role} of ${name}`)),
        );
      for (const { name } of contexts)
        expect(parts).toEqual(expect.arrayContaining([`command of ${name}`, `relay of ${name}`]));
    }
  });

  test("KEDA's triggers count the queues that the code declares, and only those of the workload", async () => {
    const release = await rendered('production', { settings: { CAUDAL_NAMESPACE: 'blue' } });
    const handlers = [
      ...contexts.flatMap(({ projections }) =>
        projections
          .filter(({ projection }) => !isMultiStream(projection))
          .flatMap(({ projection }) => [1, 12].map((number) => generationName(projection, number))),
      ),
      ...(await topology()).flatMap(({ sagas }) => Object.keys(sagas)),
    ];
    const read = new Map<string, string[]>();
    const prefetchOf = (name: string): number => {
      const { containers } = ofKind(release, 'Deployment').find(({ metadata }) => metadata.name === name)!.spec.template
        .spec;
      const own = containers[0].env.find((one: { name: string }) => one.name === 'CAUDAL_PREFETCH');
      return Number(own?.value ?? settings.CAUDAL_PREFETCH.default);
    };
    for (const { metadata, spec } of ofKind(release, 'ScaledObject')) {
      const [{ metadata: trigger, authenticationRef }] = spec.triggers;
      expect(trigger).toMatchObject({
        protocol: 'http',
        mode: 'QueueLength',
        useRegex: 'true',
        operation: 'sum',
        vhostName: '/',
      });
      expect(trigger.excludeUnacknowledged).toBeUndefined();
      expect(Number(trigger.value)).toBeGreaterThanOrEqual(2 * prefetchOf(metadata.name));
      expect(authenticationRef.name).toBe('caudal-queues');
      const pattern = new RegExp(trigger.queueName);
      read.set(
        metadata.name,
        handlers.filter((handler) => pattern.test(partQueueName(handler, 0, 'blue.'))),
      );
      for (const handler of handlers) {
        // Each part, and the whole queue of version 0.2.
        expect(pattern.test(queueName(handler, 'blue.'))).toBe(pattern.test(partQueueName(handler, 15, 'blue.')));
        expect(pattern.test(queueName(handler))).toBe(false);
        expect(pattern.test(`${queueName(handler, 'blue.')}.dead`)).toBe(false);
      }
    }
    expect(read.get('caudal-order-details')).toEqual(['order-details.v4.1', 'order-details.v4.12']);
    expect(read.get('caudal-saga-orders')).toEqual(['fulfilment.process', 'order-erasures.process']);
    // Every queue is read, and none by two workloads.
    expect([...read.values()].flat().sort()).toEqual(handlers.sort());
  });

  test('a workload is scaled up fast and down slowly, and keeps its pods while KEDA has no figures', async () => {
    const release = await rendered('production');
    const [scaled] = ofKind(release, 'ScaledObject');
    expect(scaled!.spec.fallback).toMatchObject({ failureThreshold: 3, behavior: 'currentReplicasIfHigher' });
    for (const behavior of [
      scaled!.spec.advanced.horizontalPodAutoscalerConfig.behavior,
      ...ofKind(release, 'HorizontalPodAutoscaler').map(({ spec }) => spec.behavior),
    ]) {
      expect(behavior.scaleUp.stabilizationWindowSeconds).toBe(0);
      expect(behavior.scaleDown.stabilizationWindowSeconds).toBe(300);
    }
    // An autoscaler sets the number of pods, so the Deployment must not.
    const fixed = ofKind(release, 'Deployment').filter(({ spec }) => 'replicas' in spec);
    expect(fixed.map(({ metadata }) => metadata.name)).toEqual([
      ...['caudal-jobs', 'caudal-relay', 'caudal-sales-by-day', 'caudal-shipments'],
    ]);
    for (const { spec } of ofKind(release, 'ScaledObject')) expect(spec.minReplicaCount).toBeGreaterThan(0);
  });

  test('a Job builds the views of projectors with 0 pods, a new Job for each image', async () => {
    const all = contexts.flatMap((context) => context.projections.map(({ projection }) => projection));
    const projections = all.filter((projection) => !isMultiStream(projection)).map(({ name }) => name);
    const workloads = {
      projector: { replicas: 0, maxReplicas: 5, scaleOn: 'queues', projections },
      // What has no queue to be woken by stays awake.
      gatherer: { roles: ['projector'], projections: all.filter(isMultiStream).map(({ name }) => name) },
    };
    const release = await rendered('small', { workloads });
    expect(ofKind(release, 'ScaledObject')[0]!.spec.minReplicaCount).toBe(0);
    const deployment = ofKind(release, 'Deployment').find(({ metadata }) => metadata.name === 'caudal-projector');
    expect(deployment!.spec).not.toHaveProperty('replicas');
    const buildsOf = (of: Rendered) => ofKind(of, 'Job').filter(({ metadata }) => /-build-/.test(metadata.name));
    const [job] = buildsOf(release);
    expect(job!.spec.template.spec.containers[0].args.toSorted()).toEqual(['build', ...projections].toSorted());
    const [next] = buildsOf(await rendered('small', { workloads, image: { tag: 'next' } }));
    expect(next!.metadata.name).not.toBe(job!.metadata.name);
    expect(buildsOf(await rendered('small'))).toEqual([]);
  });

  test('the migration needs nothing that is installed after it', async () => {
    const hooks = (await rendered('small')).manifests.filter(({ metadata }) =>
      metadata.annotations?.['helm.sh/hook']?.startsWith('pre-install'),
    );
    expect(hooks.map(({ kind }) => kind)).toEqual(['ServiceAccount', 'Job']);
    const [account, job] = hooks;
    expect(job!.spec.template.spec.serviceAccountName).toBe(account!.metadata.name);
    expect(job!.spec.template.spec.containers[0].args).toEqual(['migrate']);
    expect(JSON.stringify(job)).not.toContain('configMap');
  });

  test('two releases in a namespace do not collide', async () => {
    const [one, two] = await Promise.all(['blue', 'green'].map((name) => render(helm!, presets.small!, name)));
    const names = (release: Rendered) => release.manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(names(one!).filter((name) => names(two!).includes(name))).toEqual([]);
  });
});

/** What follows from the values of TLS: docs/tls.md. */
import { expect, test } from '@jest/globals';
import { describeWithTools, laidOver, type Manifest, ofKind, podsOf, presets, type Rendered, render } from './chart.ts';

const envOf = (pod: Manifest['spec']): Record<string, string> =>
  Object.fromEntries(
    (pod.containers[0].env ?? []).map(({ name, value }: { name: string; value: string }) => [name, value]),
  );
const podOf = (rendered: Rendered, name: string) => podsOf(rendered).find((each) => each.name === name)!.pod;

describeWithTools(['helm'], 'TLS', ({ helm }) => {
  const rendered = (preset: string, values = {}) => render(helm!, laidOver(presets[preset]!, values));
  const tls = { secret: 'caudal-tls' };

  test.each(Object.keys(presets))('%s: without a Secret nothing of it is there', async (preset) => {
    const { text } = await rendered(preset);
    expect(text).not.toMatch(/CAUDAL_TLS|scheme: HTTPS|run\/tls/);
  });

  test.each(Object.keys(presets))('%s: every process has the files as a folder, and probes follow', async (preset) => {
    for (const { name, pod } of podsOf(await rendered(preset, { tls: { ...tls, clientCertificates: true } }))) {
      const [container] = pod.containers;
      expect(container.volumeMounts).toContainEqual({ name: 'tls', mountPath: '/run/tls', readOnly: true });
      const { secret } = pod.volumes.find((volume: { name: string }) => volume.name === 'tls');
      expect(secret).toMatchObject({ secretName: 'caudal-tls', defaultMode: expect.anything() });
      if (name === 'caudal-test') {
        // It needs no key.
        expect(secret.items).toEqual([{ key: 'ca.crt', path: 'ca.crt' }]);
        continue;
      }
      expect(envOf(pod)).toMatchObject({
        CAUDAL_TLS_CERTIFICATE: '/run/tls/tls.crt',
        CAUDAL_TLS_KEY: '/run/tls/tls.key',
        CAUDAL_TLS_CA: '/run/tls/ca.crt',
        CAUDAL_TLS_SERVER_NAME: 'caudal.shop.svc',
        CAUDAL_TLS_CALLS: 'true',
        CAUDAL_TLS_PLAINTEXT: 'false',
        CAUDAL_TLS_CLIENTS: 'services',
      });
      for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'])
        if (container[probe]) expect(container[probe].httpGet.scheme).toBe('HTTPS');
    }
  });

  test.each([
    ['accept', 'false', 'true', 'http'],
    ['call', 'true', 'true', 'https'],
    ['require', 'true', 'false', 'https'],
    ['', 'true', 'false', 'https'],
  ])('the stage "%s" says who calls how', async (stage, calls, plaintext, kong) => {
    const release = await rendered('small', { tls: { ...tls, stage }, kong: { enabled: true } });
    const env = envOf(podOf(release, 'caudal-command'));
    expect([env.CAUDAL_TLS_CALLS, env.CAUDAL_TLS_PLAINTEXT, env.CAUDAL_TLS_CLIENTS]).toEqual([calls, plaintext, 'any']);
    const protocols = ofKind(release, 'Service').flatMap(
      ({ metadata }) => metadata.annotations?.['konghq.com/protocol'] ?? [],
    );
    expect(new Set(protocols)).toEqual(new Set(kong === 'http' ? ['http', 'grpc'] : ['https', 'grpcs']));
    for (const { spec } of ofKind(release, 'KongUpstreamPolicy')) {
      expect(spec.healthchecks.active.type).toBe(kong);
      expect(spec.healthchecks.passive.type).toBe(kong);
      expect(spec.healthchecks.active.httpsVerifyCertificate).toBe(kong === 'https' ? false : undefined);
    }
  });

  test('a workload may have a Secret of its own, and the name may be another', async () => {
    const release = await rendered('small', {
      tls: { ...tls, serverName: 'all.caudal' },
      workloads: { query: { tlsSecret: 'query-tls' } },
    });
    const secretOf = (name: string) =>
      podOf(release, name).volumes.find((volume: { name: string }) => volume.name === 'tls').secret.secretName;
    expect([secretOf('caudal-query'), secretOf('caudal-command')]).toEqual(['query-tls', 'caudal-tls']);
    expect(envOf(podOf(release, 'caudal-query')).CAUDAL_TLS_SERVER_NAME).toBe('all.caudal');
  });

  test.each([
    [{ tls: { clientCertificates: true } }, /tls\.clientCertificates is true.*set tls\.secret/],
    [
      { tls: { ...tls, clientCertificates: true, stage: 'call' } },
      /tls\.clientCertificates is true while tls\.stage is call/,
    ],
    [{ workloads: { query: { tlsSecret: 'x' } } }, /workloads\.query\.tlsSecret is set, but tls\.secret is not/],
    [{ tls: { ...tls, stage: 'often' } }, /stage/],
    [{ settings: { CAUDAL_TLS_KEY: '/x' } }, /CAUDAL_TLS_KEY/],
  ])('what does not fit together is refused: %j', async (values, message) => {
    await expect(rendered('small', values)).rejects.toThrow(message);
  });

  test('with a certificate plain HTTP is redirected, and plain gRPC is refused', async () => {
    const protocols = async (values: object) => {
      const ingresses = ofKind(await rendered('small', { kong: { enabled: true, ...values } }), 'Ingress');
      return ['rest', 'grpc'].map((listener) => {
        const of = ingresses.filter(({ spec }) => spec.rules[0].http.paths[0].backend.service.port.name === listener);
        const shown = of.map(({ metadata: { annotations = {} } }) =>
          [annotations['konghq.com/protocols'], annotations['konghq.com/https-redirect-status-code']].join(' '),
        );
        return [...new Set(shown)];
      });
    };
    const certificate = { host: 'api.shop.example', tlsSecret: 'api-tls' };
    expect(await protocols(certificate)).toEqual([['https 308'], ['grpcs ']]);
    expect(await protocols({ ...certificate, httpsRedirect: false })).toEqual([[' '], ['grpc,grpcs ']]);
    expect(await protocols({})).toEqual([[' '], ['grpc,grpcs ']]);
  });
});

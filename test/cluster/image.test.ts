/** What the Dockerfile promises to operators. test/cluster/live tests the image itself, where it can be built. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { shippedSources } from '../../scripts/reference/sources.ts';
import { root } from './chart.ts';

const lines = readFileSync(join(root, 'Dockerfile'), 'utf8')
  .replace(/\\\n\s*/g, '')
  .split('\n')
  .filter((line) => /^[A-Z]/.test(line));
const stages = lines.join('\n').split(/^(?=FROM )/m);
const runtime = stages.find((stage) => /^FROM .* AS runtime$/m.test(stage))!;

test('the last stage is the one for production', () => {
  expect(stages.at(-1)).toBe('FROM runtime');
});

test('base images are arguments', () => {
  for (const stage of stages.slice(1)) expect(stage).toMatch(/^FROM (\$\{(BUILD|RUNTIME)_IMAGE\}|runtime)/);
});

test('base images are named by digest, and both by the same one', () => {
  const images = lines.flatMap((line) => /^ARG (?:BUILD|RUNTIME)_IMAGE=(.*)$/.exec(line)?.[1] ?? []);
  expect(images).toHaveLength(2);
  expect(new Set(images).size).toBe(1);
  expect(images[0]).toMatch(/^node:24\.\d+\.\d+-[a-z]+-slim@sha256:[0-9a-f]{64}$/);
});

test('the image has a list of its packages', () => {
  const dependencies = stages.find((stage) => /^FROM .* AS dependencies$/m.test(stage))!;
  expect(dependencies).toContain('\nRUN node scripts/sbom.ts sbom.cdx.json\n');
});

test('no privileged user, no shell, and a process 1 that passes signals on', () => {
  expect(runtime).toContain('\nUSER 1000:1000\n');
  expect(runtime).not.toMatch(/^RUN /m);
  expect(runtime).toContain('ENTRYPOINT ["tini", "--", "caudal"]');
  expect(runtime).toContain('CMD ["start"]');
});

test('the compile cache is made by the user that runs the sources, at the same path', () => {
  const compiled = stages.find((stage) => /^FROM .* AS compiled$/m.test(stage))!;
  const cache = /NODE_COMPILE_CACHE=(\S+)/;
  expect(cache.exec(compiled)![1]).toBe(cache.exec(runtime)![1]);
  expect(compiled).toMatch(/\nUSER 1000:1000\nRUN node /);
  expect(compiled).toContain('\nWORKDIR /app\n');
});

test('only what production needs is installed', () => {
  expect(lines.filter((line) => line.includes('npm ci'))).toEqual([
    expect.stringMatching(/--omit=dev .*--ignore-scripts/),
  ]);
});

test('.dockerignore includes every shipped source, and no test', () => {
  const patterns = readFileSync(join(root, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line && !line.startsWith('#'));
  // The part of .dockerignore's rules that is used here: the last matching pattern decides, and a folder's pattern
  // covers everything below it.
  const ignored = (path: string) =>
    patterns.reduce((out, pattern) => {
      const glob = pattern
        .replace('!', '')
        .replace(/[.]/g, '\\.')
        .replace(/^\*\*\//, '(.*/)?')
        .replace(/(?<![.)])\*/g, '[^/]*');
      return new RegExp(`^${glob}(/.*)?$`).test(path) ? !pattern.startsWith('!') : out;
    }, false);
  const shipped = shippedSources().map(({ path }) => path);
  expect(shipped.length).toBeGreaterThan(200);
  expect(shipped.filter(ignored)).toEqual([]);
  for (const path of [
    'package.json',
    'package-lock.json',
    'scripts/sbom.ts',
    'apps/importer/data/online-retail-sample.csv',
  ])
    expect([path, ignored(path)]).toEqual([path, false]);
  for (const path of [
    '.git/HEAD',
    'docs/api.md',
    'packages/rpc/src/rest/rest.test.ts',
    'packages/rpc/src/testing/x.ts',
    '.caudal/key',
  ])
    expect([path, ignored(path)]).toEqual([path, true]);
});

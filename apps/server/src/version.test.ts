import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { root } from '../../../test/e2e/part.ts';
import { version } from './version.ts';

const read = (path: string) => readFileSync(join(root, path), 'utf8');

test.each([
  ['Dockerfile', /^ARG VERSION=(.*)$/m],
  ['charts/caudal/Chart.yaml', /^version: (.*)$/m],
  ['charts/caudal/Chart.yaml', /^appVersion: (.*)$/m],
  ['k8s/operators/values.yaml', /tag: ([\d.]+)/],
  ['docs/operations/install.md', /caudal:(\d\S*)/],
  ['package-lock.json', /^ {2}"version": "(.*)",$/m],
])('%s has it: %s', (path, pattern) => {
  expect(pattern.exec(read(path))?.[1]).toBe(version);
});

test('so has every workspace', () => {
  const listed = execFileSync('git', ['ls-files', '*package.json'], { cwd: root, encoding: 'utf8' }).trim().split('\n');
  expect(listed.length).toBeGreaterThan(20);
  for (const path of listed) expect({ path, version: JSON.parse(read(path)).version }).toEqual({ path, version });
});

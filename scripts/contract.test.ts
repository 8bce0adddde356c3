/** `npm run contract -- --check` in a temporary checkout, with a buf that writes what the test says. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';

const gen = 'packages/contract/src/gen';
const tests = 'packages/rpc/src/testing/gen';
let folder: string;
const git = (...args: string[]) =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], { cwd: folder, stdio: 'pipe' });
const check = () => {
  const { status, stderr } = spawnSync(process.execPath, [resolve('scripts/contract.js'), '--check'], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, PATH: `${folder}/bin:${process.env.PATH}` },
  });
  return { status, stderr };
};
const generates = (script: string) => {
  writeFileSync(join(folder, 'bin/buf'), `#!/bin/sh\n[ "$1" != generate ] || { ${script}; }\n`);
  chmodSync(join(folder, 'bin/buf'), 0o755);
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'caudal-contract-'));
  mkdirSync(join(folder, 'bin'));
  mkdirSync(join(folder, gen), { recursive: true });
  writeFileSync(join(folder, gen, 'orders.ts'), 'old\n');
  git('init', '-q');
  git('add', gen);
  git('commit', '-q', '-m', 'first');
});
afterAll(() => rmSync(folder, { recursive: true }));

test.each([
  ['the same', `echo old > ${gen}/orders.ts`, 0],
  ['other content', `echo new > ${gen}/orders.ts`, 1],
  ['an uncommitted file', `mkdir -p ${gen}/v2; echo x > ${gen}/v2/new.ts`, 1],
  ['one file less', `rm -f ${gen}/orders.ts`, 1],
  ["a file of the tests' own contract", `mkdir -p ${tests}; echo x > ${tests}/new.ts`, 1],
])('fails if generated and committed files differ: %s', (_, script, expected) => {
  git('checkout', '-q', '.');
  git('clean', '-qfd', gen, tests);
  generates(script);
  const { status, stderr } = check();
  expect({ status, stderr: status === expected ? '' : stderr }).toEqual({ status: expected, stderr: '' });
  if (expected) expect(stderr).toContain('Run "npm run contract"');
});

/** scripts/bootstrap.js in a checkout of its own, with an npm that only notes that it was called. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from '@jest/globals';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'caudal-bootstrap-'));
  mkdirSync(join(folder, 'scripts'));
  mkdirSync(join(folder, 'bin'));
  mkdirSync(join(folder, 'node_modules/node/bin'), { recursive: true });
  symlinkSync(process.execPath, join(folder, 'node_modules/node/bin/node'));
  copyFileSync(resolve('scripts/bootstrap.js'), join(folder, 'scripts/bootstrap.js'));
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  writeFileSync(join(folder, 'calls'), '');
  // As npm does it, the record is written last.
  const npm = 'echo "$@" >> calls; sleep 0.5; cp package-lock.json node_modules/.package-lock.json';
  writeFileSync(join(folder, 'bin/npm'), `#!/bin/sh\n${npm}\n`);
  chmodSync(join(folder, 'bin/npm'), 0o755);
});
afterEach(() => rmSync(folder, { recursive: true }));

const installs = () => readFileSync(join(folder, 'calls'), 'utf8').split('\n').filter(Boolean).length;

function have(wanted: Record<string, object>, there: Record<string, object>) {
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages: wanted }));
  writeFileSync(join(folder, 'node_modules/.package-lock.json'), JSON.stringify({ packages: there }));
}

async function bootstrap(): Promise<{ code: number; errors: string }> {
  const child = spawn(process.execPath, ['scripts/bootstrap.js'], {
    cwd: folder,
    env: { PATH: `${join(folder, 'bin')}:${process.env.PATH}` },
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const errors = text(child.stderr!);
  const [code] = await once(child, 'close');
  return { code, errors: await errors };
}

const a = { 'node_modules/a': { version: '1.0.0' } };
const { platform, arch } = process;

test('what is missing is installed, what is there is not', async () => {
  have(a, a);
  expect(await bootstrap()).toEqual({ code: 0, errors: '' });
  expect(installs()).toBe(0);
  have(a, { 'node_modules/a': { version: '0.9.0' } });
  expect(await bootstrap()).toMatchObject({ code: 0 });
  expect(installs()).toBe(1);
});

test.each([
  ['for this machine', { os: [platform], cpu: [arch] }, 1],
  ['for all machines but another', { os: ['!aix'] }, 1],
  ['for another system', { os: ['aix'], cpu: [arch] }, 0],
  ['for all machines but this', { os: [`!${platform}`] }, 0],
  ['for another processor', { os: [platform], cpu: ['wasm32'] }, 0],
  ['for another C library', { os: [platform], cpu: [arch], libc: ['none'] }, 0],
  ['that may not build here', {}, 0],
])('an optional package %s is missed, or is not', async (_, machine, expected) => {
  have({ ...a, 'node_modules/binary': { version: '1.0.0', optional: true, ...machine } }, a);
  expect(await bootstrap()).toMatchObject({ code: 0 });
  expect(installs()).toBe(expected);
});

test('of two at once one installs, and the other waits for it', async () => {
  have(a, {});
  expect(await Promise.all([bootstrap(), bootstrap()])).toMatchObject([{ code: 0 }, { code: 0 }]);
  expect(installs()).toBe(1);
});

test('the lock of a process that was killed holds nobody up', async () => {
  have(a, {});
  mkdirSync(join(folder, '.caudal/installing'), { recursive: true });
  writeFileSync(join(folder, '.caudal/installing/pid'), '4194304');
  expect(await bootstrap()).toMatchObject({ code: 0 });
  expect(installs()).toBe(1);
});

test('an installation that fails is told, and leaves no lock', async () => {
  have(a, {});
  writeFileSync(join(folder, 'bin/npm'), '#!/bin/sh\nexit 3\n');
  for (let time = 0; time < 2; time++) {
    const { code, errors } = await bootstrap();
    expect(code).toBe(1);
    expect(errors).toContain('"npm ci" failed.');
    expect(errors).not.toContain('Waiting');
  }
});

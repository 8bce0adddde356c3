/** scripts/bootstrap.js in a temporary checkout, with an npm that only records that it was called. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { until } from '@caudal/testing/until.ts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'caudal-bootstrap-'));
  mkdirSync(join(folder, 'scripts'));
  mkdirSync(join(folder, 'bin'));
  mkdirSync(join(folder, 'node_modules/node/bin'), { recursive: true });
  symlinkSync(process.execPath, join(folder, 'node_modules/node/bin/node'));
  for (const name of ['scripts/bootstrap.js', 'scripts/end-with-parent.js'])
    copyFileSync(resolve(name), join(folder, name));
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  writeFileSync(join(folder, 'calls'), '');
  // npm writes the record last, and so does this one.
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

function spawnBootstrap(...words: string[]) {
  return spawn(process.execPath, ['scripts/bootstrap.js', ...words], {
    cwd: folder,
    env: { PATH: `${join(folder, 'bin')}:${process.env.PATH}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function bootstrap(...words: string[]): Promise<{ code: number; errors: string; output: string; pid: number }> {
  const child = spawnBootstrap(...words);
  const [errors, output] = [text(child.stderr), text(child.stdout)];
  const [code] = await once(child, 'close');
  return { code, errors: await errors, output: await output, pid: child.pid! };
}

const a = { 'node_modules/a': { version: '1.0.0' } };
const { platform, arch } = process;

test('it installs what is missing, and nothing if all is there', async () => {
  have(a, a);
  expect(await bootstrap()).toMatchObject({ code: 0, errors: '', output: '' });
  expect(installs()).toBe(0);
  have(a, { 'node_modules/a': { version: '0.9.0' } });
  expect(await bootstrap()).toMatchObject({ code: 0 });
  expect(installs()).toBe(1);
});

test.each([
  ['for this machine (needed)', { os: [platform], cpu: [arch] }, 1],
  ['for all machines except another (needed)', { os: ['!aix'] }, 1],
  ['for another system (not needed)', { os: ['aix'], cpu: [arch] }, 0],
  ['for all machines except this one (not needed)', { os: [`!${platform}`] }, 0],
  ['for another processor (not needed)', { os: [platform], cpu: ['wasm32'] }, 0],
  ['for another C library (not needed)', { os: [platform], cpu: [arch], libc: ['none'] }, 0],
  ['that may be unable to build here (not needed)', {}, 0],
])('an optional package %s', async (_, machine, expected) => {
  have({ ...a, 'node_modules/binary': { version: '1.0.0', optional: true, ...machine } }, a);
  expect(await bootstrap()).toMatchObject({ code: 0 });
  expect(installs()).toBe(expected);
});

test('of two at once, one installs and the other waits for it', async () => {
  have(a, {});
  expect(await Promise.all([bootstrap(), bootstrap()])).toMatchObject([{ code: 0 }, { code: 0 }]);
  expect(installs()).toBe(1);
});

test('the lock of a killed process delays no other', async () => {
  have(a, {});
  mkdirSync(join(folder, '.caudal/installing'), { recursive: true });
  writeFileSync(join(folder, '.caudal/installing/pid'), '4194304');
  expect(await bootstrap()).toMatchObject({ code: 0 });
  expect(installs()).toBe(1);
});

test('a failed installation is reported, and leaves no lock', async () => {
  have(a, {});
  writeFileSync(join(folder, 'bin/npm'), '#!/bin/sh\nexit 3\n');
  for (let time = 0; time < 2; time++) {
    const { code, errors } = await bootstrap();
    expect(code).toBe(1);
    expect(errors).toContain('"npm ci" failed.');
    expect(errors).not.toContain('Waiting');
  }
});

test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
  'an installation ends with %s to bootstrap.js, and leaves no lock',
  async (signal) => {
    have(a, {});
    // It notes that it was ended, and would take longer than the test.
    writeFileSync(
      join(folder, 'bin/npm'),
      '#!/bin/sh\ntrap "echo ended >> calls; exit 1" TERM\necho begun >> calls\nfor i in $(seq 600); do sleep 0.1; done\n',
    );
    const child = spawnBootstrap();
    await until(() => readFileSync(join(folder, 'calls'), 'utf8') === 'begun\n');
    child.kill(signal);
    expect(await once(child, 'close')).toEqual([128 + constants.signals[signal], null]);
    expect(readFileSync(join(folder, 'calls'), 'utf8')).toBe('begun\nended\n');
    expect(existsSync(join(folder, '.caudal/installing'))).toBe(false);
  },
);

test('while npm installs on after bootstrap.js was killed, the next one waits for it', async () => {
  have(a, {});
  const npm = 'echo "$@" >> calls; sleep 1.5; cp package-lock.json node_modules/.package-lock.json';
  writeFileSync(join(folder, 'bin/npm'), `#!/bin/sh\n${npm}\n`);
  const killed = spawnBootstrap();
  await until(() => installs() === 1);
  killed.kill('SIGKILL');
  await once(killed, 'close');
  expect(await bootstrap()).toMatchObject({ code: 0 });
  expect(installs()).toBe(1);
});

const says =
  "console.log(JSON.stringify([process.pid, process.execArgv, process.argv.slice(2), process.env.PATH, Object.keys(process.env).filter((name) => name.startsWith('CAUDAL_'))]));";

test('becomes the program: the same process, with flags, arguments, tools first in PATH, exit code', async () => {
  have(a, a);
  writeFileSync(join(folder, 'program.js'), `${says} process.exitCode = 3;`);
  const { code, errors, output, pid } = await bootstrap('--max-semi-space-size=16', 'program.js', 'one', '--two');
  expect({ code, errors }).toEqual({ code: 3, errors: '' });
  const [program, flags, args, path, own] = JSON.parse(output);
  // Caudal would warn about a setting that it does not know.
  expect(own).toEqual([]);
  expect(program).toBe(pid);
  expect(flags).toEqual(['--max-semi-space-size=16']);
  expect(args).toEqual(['one', '--two']);
  expect(path.split(':')[0]).toBe(join(folder, 'node_modules/.bin'));
});

test("a Node that can't become another program runs it as a child, and passes signals on", async () => {
  have(a, a);
  const ends = "process.on('SIGTERM', () => process.exit(7)); setInterval(() => {}, 1000);";
  writeFileSync(join(folder, 'program.js'), `${ends} ${says}`);
  const script = join(folder, 'scripts/bootstrap.js');
  writeFileSync(script, readFileSync(script, 'utf8').replace('process.execve && !windows', 'false'));
  const child = spawnBootstrap('program.js');
  const [line] = await once(child.stdout, 'data');
  expect(JSON.parse(line)[0]).not.toBe(child.pid);
  child.kill('SIGTERM');
  expect(await once(child, 'close')).toEqual([7, null]);
});

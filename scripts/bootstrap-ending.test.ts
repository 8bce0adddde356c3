/** When npm, bootstrap.js or the program gets a signal or is killed, the program ends in an orderly way. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { until } from '../test/e2e/wait.ts';
import { childrenOf, isAlive, killLeftovers, run } from '../test/newcomer/npm.ts';

const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };

test('the scripts of package.json leave no shell between npm and bootstrap.js, which watches npm', () => {
  const scripts = Object.values(manifest.scripts).filter((script) => script.includes('bootstrap.js'));
  expect(scripts.length).toBeGreaterThan(3);
  for (const script of scripts)
    expect(script).toMatch(/^([A-Z_]+=\S+ )?exec node scripts\/bootstrap\.js --with-parent /);
});

const linux = process.platform === 'linux' ? describe : describe.skip;

// A Node before 23.11 can't become another program, so bootstrap.js waits beside it.
linux.each([
  ['that has become the program', false],
  ['that waits beside the program', true],
])('bootstrap.js %s, ended (on Linux)', (_, waits) => {
  let folder: string;
  const notes = () => readFileSync(join(folder, 'notes'), 'utf8').split('\n').filter(Boolean);
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'caudal bootstrap-'));
    mkdirSync(join(folder, 'scripts'));
    mkdirSync(join(folder, 'node_modules/node/bin'), { recursive: true });
    symlinkSync(process.execPath, join(folder, 'node_modules/node/bin/node'));
    mkdirSync(join(folder, 'node_modules/.bin'));
    symlinkSync(process.execPath, join(folder, 'node_modules/.bin/node'));
    for (const name of ['bootstrap.js', 'end-with-parent.js'])
      copyFileSync(join('scripts', name), join(folder, 'scripts', name));
    if (waits) {
      const script = join(folder, 'scripts/bootstrap.js');
      const text = readFileSync(script, 'utf8');
      expect(text).toContain('process.execve && !windows');
      writeFileSync(script, text.replace('process.execve && !windows', 'false'));
    }
    for (const file of ['package-lock.json', 'node_modules/.package-lock.json'])
      writeFileSync(join(folder, file), '{"packages": {}}');
    const start = manifest.scripts.start!.replace(/(--with-parent) .*/, '$1 program.js');
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', scripts: { start } }));
    // It takes a moment to end, like real programs.
    writeFileSync(
      join(folder, 'program.js'),
      `import { appendFileSync } from 'node:fs';
      const note = (text) => appendFileSync('notes', text + '\\n');
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'])
        process.on(signal, () => {
          note(signal);
          setTimeout(() => (note('ended'), process.exit(0)), 200);
        });
      note('pid ' + process.pid + ' ' + process.execArgv.length);
      setTimeout(() => note('it was not ended'), 30_000);`,
    );
  });
  beforeEach(() => rmSync(join(folder, 'notes'), { force: true }));
  afterAll(() => {
    killLeftovers([]);
    rmSync(folder, { recursive: true });
  });

  test.each([
    ['SIGTERM', 'npm', 'SIGTERM', 0],
    ['SIGINT', 'npm', 'SIGINT', 0],
    // npm passes neither of these on.
    ['SIGHUP', 'npm', 'SIGHUP', 'SIGHUP'],
    ['SIGKILL', 'npm', 'SIGHUP', 'SIGKILL'],
    ['SIGTERM', 'bootstrap', 'SIGTERM', 0],
    ['SIGINT', 'bootstrap', 'SIGINT', 0],
    ['SIGHUP', 'bootstrap', 'SIGHUP', 0],
    ...(waits ? ([['SIGKILL', 'bootstrap', 'SIGHUP', 'SIGKILL']] as const) : []),
    ['SIGTERM', 'program', 'SIGTERM', 0],
  ] as const)(
    'by %s to %s',
    async (signal, target, arrives, expected) => {
      const npm = run('npm', ['start'], { cwd: folder });
      await until('the program runs', async () => existsSync(join(folder, 'notes')) && notes().length > 0, Boolean);
      const [bootstrap, ...others] = childrenOf(npm.pid);
      const [program, ...more] = waits ? childrenOf(bootstrap!) : [bootstrap, ...childrenOf(bootstrap!)];
      expect([...others, ...more]).toEqual([]);
      // The program's own flags do not include those of the watch, so processes that it forks are not watched.
      expect(notes()).toEqual([`pid ${program} 0`]);
      process.kill({ npm: npm.pid, bootstrap: bootstrap!, program: program! }[target], signal);
      // After a signal that npm passes on, it waits for the program.
      expect(await npm.ended).toBe(expected);
      if (expected === 0) expect(notes()).toContain('ended');
      await until(
        'the program has ended',
        async () => notes(),
        (noted) => noted.includes('ended'),
      );
      expect(notes()).toEqual([`pid ${program} 0`, arrives, 'ended']);
      await until(
        'its process has ended',
        async () => [bootstrap!, program!].some(isAlive),
        (there) => !there,
      );
    },
    60_000,
  );

  test('when the program ends by itself, npm has its exit code', async () => {
    writeFileSync(join(folder, 'program.js'), 'process.exitCode = 3;');
    expect(await run('npm', ['start'], { cwd: folder }).ended).toBe(3);
  });
});

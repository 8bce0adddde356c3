/** If several processes start on one data directory at the same time, one gets it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, expect, test } from '@jest/globals';

const folder = mkdtempSync(join(tmpdir(), 'caudal-claim-'));
const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

const module = new URL('./embedded-postgres.ts', import.meta.url).href;
/** Reports that it runs, claims the directory on request, and runs until it is killed. */
const script = `
  const { claim } = await import(${JSON.stringify(module)});
  process.stdout.write('ready\\n');
  await new Promise((resolve) => process.stdin.once('data', resolve));
  const said = await claim(process.argv[1]).then(() => 'mine', (error) => error.message);
  process.stdout.write(said);
  process.stdout.end();
  await new Promise((resolve) => process.stdin.once('end', resolve));
`;

// A process with such a command line is recognised as Caudal's.
const start = (file: string) =>
  spawn(process.execPath, ['--input-type=module', '-e', script, file, 'cli/src/main.ts'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });

test.each([
  ['nobody had', undefined],
  ['a dead process had', '4194304'],
])('a directory that %s', async (_, before) => {
  const file = join(folder, `owner-${before}`);
  if (before) writeFileSync(file, before);
  const all = Array.from({ length: 6 }, () => start(file));
  children.push(...all);
  await Promise.all(all.map(({ stdout }) => once(stdout!, 'data')));
  const said = all.map(({ stdout }) => text(stdout!));
  for (const { stdin } of all) stdin!.write('go\n');
  const answers = await Promise.all(said);
  const owner = answers.indexOf('mine');
  expect(readFileSync(file, 'utf8')).toBe(String(all[owner]?.pid));
  const refusal = `Process ${all[owner]?.pid} runs on this data directory already. Stop it, or set CAUDAL_DATA_DIR to another one.`;
  expect(answers).toEqual(all.map((_, index) => (index === owner ? 'mine' : refusal)));
});

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from '@jest/globals';

const script = fileURLToPath(new URL('./testing/child.ts', import.meta.url));
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

function start(trouble = '') {
  const child = spawn(process.execPath, [script, trouble], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let output = '';
  let errors = '';
  child.stdout.on('data', (data) => {
    output += data;
  });
  child.stderr.on('data', (data) => {
    errors += data;
  });
  const exit = once(child, 'close').then(([code]) => ({ code: code as number, output, errors }));
  return {
    exit,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    async says(text: string) {
      while (!output.includes(text)) await once(child.stdout, 'data');
    },
  };
}

test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('%s ends it in order', async (signal) => {
  const child = start();
  await child.says('ready');
  child.kill(signal);
  const { code, output } = await child.exit;
  expect(output).toBe('ready\nsecond stopping\nfirst stopped\n');
  expect(code).toBe(0);
});

test('a second signal ends it at once', async () => {
  const child = start('hang');
  await child.says('ready');
  child.kill('SIGTERM');
  await child.says('second stopping');
  await new Promise((resolve) => setTimeout(resolve, 600));
  child.kill('SIGINT');
  const { code, output } = await child.exit;
  expect(code).toBe(130);
  expect(output).not.toContain('first stopped');
});

test('a signal that arrives twice within 500 ms counts once', async () => {
  const child = start();
  await child.says('ready');
  child.kill('SIGINT');
  child.kill('SIGINT');
  const { code, output } = await child.exit;
  expect(code).toBe(0);
  expect(output).toContain('first stopped');
});

test('if a component does not stop, the exit code is 1', async () => {
  const child = start('late');
  await child.says('ready');
  child.kill('SIGTERM');
  const { code, output, errors } = await child.exit;
  expect(code).toBe(1);
  expect(output).toContain('first stopped');
  expect(errors).toContain('third fails');
});

test.each([
  ['throw', 'uncaught exception', 'SyntaxError'],
  ['reject', 'unhandled rejection', 'not handled'],
])('%s: logged, ended in order, exit code 1', async (trouble, kind, text) => {
  const { code, output, errors } = await start(trouble).exit;
  expect(code).toBe(1);
  expect(output).toContain('first stopped');
  expect(errors).toContain(kind);
  expect(errors).toContain(text);
});

/**
 * Makes a fresh checkout ready, and runs a program of it on the project's own Node:
 *
 *     node scripts/bootstrap.js                            install what is missing
 *     node scripts/bootstrap.js FILE [ARGUMENT...]         and then run FILE (a path within the project)
 *
 * Plain JavaScript, and nothing but Node's own modules: it runs on any Node from 18 on, before anything is installed.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const modules = join(root, 'node_modules');
const windows = process.platform === 'win32';
const node = join(modules, 'node', 'bin', windows ? 'node.exe' : 'node');

/** What package-lock.json wants and node_modules, by npm's own record of it, does not have. */
function missing() {
  const record = join(modules, '.package-lock.json');
  if (!existsSync(record) || !existsSync(node)) return ['everything'];
  const packages = (file) => JSON.parse(readFileSync(file, 'utf8')).packages;
  const there = packages(record);
  return Object.entries(packages(join(root, 'package-lock.json')))
    .filter(([path, { optional, peer }]) => path.includes('node_modules/') && !optional && !peer)
    .filter(([path, { version, link }]) => there[path]?.version !== version || there[path]?.link !== link)
    .map(([path]) => path);
}

function install() {
  const paths = missing();
  if (paths.length === 0) return;
  console.error(
    `Installing the project's packages with "npm ci" (missing: ${paths.slice(0, 3).join(', ')}${paths.length > 3 ? ', ...' : ''}).`,
  );
  // Its output goes to standard error, since standard output is the program's. It warns about a Node older than the
  // packages want; the program will not run on that one.
  const { status, error } = spawnSync('npm', ['ci', '--include=dev', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: windows,
  });
  if (error) throw error;
  if (status !== 0) {
    console.error('"npm ci" failed.');
    process.exit(1);
  }
}

/** Runs the file on the project's Node, with its tools first in PATH, and ends as it ends. */
function run(file, args) {
  const path = `${join(modules, '.bin')}${delimiter}${process.env.PATH ?? ''}`;
  const child = spawn(node, [join(root, file), ...args], { stdio: 'inherit', env: { ...process.env, PATH: path } });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    // Ctrl-C at a terminal reaches the child by itself, and it must not count twice.
    process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY ? undefined : child.kill(signal)));
  }
  child.on('error', (error) => {
    throw error;
  });
  child.on('exit', (status, signal) => process.exit(status ?? 128 + constants.signals[signal]));
}

install();
const [file, ...args] = process.argv.slice(2);
if (file) run(file, args);

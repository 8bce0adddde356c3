/**
 * Prepares a fresh checkout, and runs a program of it on the project's own Node:
 *
 *     node scripts/bootstrap.js                            install what is missing
 *     node scripts/bootstrap.js FILE [ARGUMENT...]         and then run FILE (a path within the project)
 *     node scripts/bootstrap.js --with-parent FILE ...     the same, and end FILE when the process that started this one ends
 *     node scripts/bootstrap.js --FLAG... FILE [...]       the same, with flags for FILE's Node
 *
 * package.json's scripts start it by `exec ... --with-parent`. `exec`, because npm passes SIGTERM and SIGINT only to
 * the process that it started, which would otherwise be a shell. `--with-parent`, because a killed npm passes nothing on.
 *
 * It is plain JavaScript and imports only Node's own modules: it runs on any Node from 18 on, before anything is
 * installed.
 */
import { spawn } from 'node:child_process';
import { accessSync, existsSync, mkdirSync, constants as modes, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants, homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const parent = process.ppid;
const root = fileURLToPath(new URL('..', import.meta.url));
const modules = join(root, 'node_modules');
const windows = process.platform === 'win32';
const node = join(modules, 'node', 'bin', windows ? 'node.exe' : 'node');

/** The C library, by its name in package.json's `libc`. */
process.report.excludeNetwork = true; // it would look up names
const libc =
  process.platform !== 'linux' ? undefined : process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl';

/** Whether a list such as `["linux", "!win32"]` includes this machine, by npm's rules. */
function names(list, here) {
  if (list === undefined) return true;
  const wanted = [list].flat().filter((name) => !name.startsWith('!'));
  return ![list].flat().includes(`!${here}`) && (wanted.length === 0 || wanted.includes(here));
}

/**
 * Whether a package must be installed. npm skips an optional package that it can't download, without an error. An
 * optional package for certain machines is needed by some program there, so it must be installed on these machines.
 * Other optional packages may be unable to build here.
 */
function isWanted({ optional, peer, os, cpu, libc: libcs }) {
  if (peer) return false;
  if (!optional) return true;
  return (os || cpu) !== undefined && names(os, process.platform) && names(cpu, process.arch) && names(libcs, libc);
}

/** The packages of package-lock.json that node_modules lacks, by npm's own record of it. */
function missing() {
  const record = join(modules, '.package-lock.json');
  if (!existsSync(record) || !existsSync(node)) return ['everything'];
  const packages = (file) => JSON.parse(readFileSync(file, 'utf8')).packages;
  const there = packages(record);
  return Object.entries(packages(join(root, 'package-lock.json')))
    .filter(([path, wanted]) => path.includes('node_modules/') && isWanted(wanted))
    .filter(([path, { version, link }]) => there[path]?.version !== version || there[path]?.link !== link)
    .map(([path]) => path);
}

/** Not in node_modules, because npm deletes that folder. */
const lock = join(root, '.caudal', 'installing');
const lockOwner = join(lock, 'pid');
const lockWaitMs = 10 * 60_000;

/** The process that installs; undefined if it has ended, or has not written its id yet. */
function installer() {
  try {
    const pid = Number(readFileSync(lockOwner, 'utf8'));
    // An owner with this process's id was in another container.
    if (!pid || pid === process.pid) return undefined;
    process.kill(pid, 0);
    return pid;
  } catch (error) {
    return error.code === 'EPERM' ? 'of another user' : undefined;
  }
}

/** Runs `work` while no other bootstrap of this checkout does: two installations at once break each other. */
async function alone(work) {
  // Mode 711 for root: its embedded PostgreSQL runs as another user, which must pass through this folder.
  mkdirSync(dirname(lock), { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 });
  const giveUpAt = Date.now() + lockWaitMs;
  let ownerless = 0;
  for (let told = false; !take(); sleep(200)) {
    const owner = installer();
    // A process that lives writes its id at once.
    ownerless = owner === undefined ? ownerless + 1 : 0;
    if (ownerless > 10) rmSync(lock, { recursive: true, force: true });
    if (owner !== undefined && !told) console.error(`Waiting for process ${owner}, which installs the packages.`);
    told ||= owner !== undefined;
    if (Date.now() > giveUpAt) {
      console.error(`Process ${owner} has been installing for 10 minutes: end it, or delete ${lock}.`);
      process.exit(1);
    }
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

/** Whether this process has the lock now: only one process can create the folder. */
function take() {
  try {
    mkdirSync(lock);
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  }
  writeFileSync(lockOwner, String(process.pid));
  return true;
}

function sleep(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** A cache in the checkout, if npm can't write its usual one: there is no home, or it is read-only. */
function ownCache() {
  const usual = process.env.npm_config_cache || join(homedir(), '.npm');
  try {
    mkdirSync(usual, { recursive: true });
    accessSync(usual, modes.W_OK);
    return undefined;
  } catch {
    return join(dirname(lock), 'npm-cache');
  }
}

/** Installs what is missing. Returns the signal that has ended it; undefined if it is done. */
async function install() {
  const paths = missing();
  // Another bootstrap may have installed them since.
  if (paths.length === 0) return undefined;
  console.error(
    `Installing the project's packages with "npm ci" (missing: ${paths.slice(0, 3).join(', ')}${paths.length > 3 ? ', ...' : ''}).`,
  );
  const cache = ownCache();
  const { status, endedBy } = await npmCi({ ...process.env, ...(cache && { npm_config_cache: cache }) });
  if (cache) rmSync(cache, { recursive: true, force: true });
  if (!endedBy && status !== 0) throw new Error('"npm ci" failed.');
  return endedBy;
}

/** Runs `npm ci`, which ends with this process: left alone, it would meet the installation of the next start. */
function npmCi(env) {
  return new Promise((done, failed) => {
    // npm's output goes to standard error, because standard output is the program's. npm may warn that this Node is older
    // than the packages require; the program runs on the project's own Node.
    const options = { cwd: root, stdio: ['ignore', 2, 2], shell: windows, env };
    let npm;
    let endedBy;
    const end = (signal) => {
      endedBy ??= signal;
      npm?.kill();
    };
    // First, so that no signal falls between.
    for (const signal of endSignals) process.on(signal, end);
    npm = spawn('npm', ['ci', '--include=dev', '--loglevel=error'], options);
    // If this process is killed, others wait for npm itself.
    if (npm.pid) writeFileSync(lockOwner, String(npm.pid));
    const stopWatching = withParent ? whenOrphaned(() => end('SIGHUP')) : () => {};
    npm.on('error', failed);
    npm.on('close', (status) => {
      stopWatching();
      for (const signal of endSignals) process.off(signal, end);
      done({ status, endedBy });
    });
  });
}

/** How often the parent is checked. */
const parentCheckMs = 250;
const endSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Calls `then` once the process that started this one has ended. Returns what ends the watch. */
function whenOrphaned(then) {
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    then();
  }, parentCheckMs);
  return () => clearInterval(timer);
}

/**
 * Runs the file on the project's Node, with the project's tools first in PATH, and ends with its exit code. If
 * possible, this process becomes the program: a second Node that only waits would take 50 MiB.
 */
function run(flags, file, args) {
  const path = `${join(modules, '.bin')}${delimiter}${process.env.PATH ?? ''}`;
  const env = { ...process.env, PATH: path };
  const watch = ['--import', new URL('end-with-parent.js', import.meta.url).href];
  const program = [join(root, file), ...args];
  if (process.execve && !windows)
    process.execve(node, [node, ...flags, ...(withParent ? watch : []), ...program], {
      ...env,
      ...(withParent && { CAUDAL_PARENT: String(parent) }),
    });
  const child = spawn(node, [...flags, ...watch, ...program], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'], env });
  // A Ctrl-C at a terminal then reaches the child twice; programs treat two within a moment as one.
  for (const signal of endSignals) process.on(signal, () => child.kill(signal));
  if (withParent) whenOrphaned(() => child.kill('SIGHUP'));
  child.on('error', (error) => {
    throw error;
  });
  child.on('exit', (status, signal) => process.exit(status ?? 128 + constants.signals[signal]));
}

const words = process.argv.slice(2);
const withParent = words[0] === '--with-parent';
if (withParent) words.shift();
const flags = words.slice(
  0,
  words.findIndex((word) => !word.startsWith('--')),
);
const [file, ...args] = words.slice(flags.length);

let endedBy;
try {
  if (missing().length > 0) endedBy = await alone(install);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
if (endedBy) process.exit(128 + constants.signals[endedBy]);
if (file) run(flags, file, args);

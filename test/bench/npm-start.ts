/** `npm start` as a newcomer runs it: with its embedded PostgreSQL, and without variables. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { everything } from '@caudal/cli/permissions.ts';
import { generateKey, signToken } from '@caudal/rpc/server/tokens.ts';
import { freePorts, root } from '../e2e/part.ts';
import { until } from '../e2e/wait.ts';
import type { Target } from './order-load.ts';
import { treeOf } from './process-tree.ts';
import { openUnary } from './unary.ts';

export interface NpmStart extends Target {
  /** The process id of npm. */
  pid: number;
  /** The process id of its PostgreSQL's main process. */
  postgresPid: number;
  stop(): Promise<void>;
}

const startMs = 120_000;
const stopMs = 60_000;

/** Starts it on a data directory of its own, and waits until it is ready. */
export async function npmStart(env: Record<string, string> = {}): Promise<NpmStart> {
  const folder = mkdtempSync(join(tmpdir(), 'caudal-laptop-'));
  const [rest, grpc] = (await freePorts(2)) as [number, number];
  const key = await generateKey('bench');
  const logFile = join(folder, 'log');
  const log = openSync(logFile, 'a');
  // With as little environment as a shell has: a DATABASE_URL of this process would be used.
  const child = spawn('npm', ['start'], {
    cwd: root,
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      CAUDAL_DATA_DIR: folder,
      CAUDAL_REST_PORT: String(rest),
      CAUDAL_GRPC_PORT: String(grpc),
      CAUDAL_JWKS: JSON.stringify({ keys: [key.publicKey] }),
      CAUDAL_SERVICE_KEY: JSON.stringify(key.privateKey),
      LOG_LEVEL: 'error',
      ...env,
    },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const pid = child.pid!;
  const ended = once(child, 'exit');
  const isRunning = () => child.exitCode === null && child.signalCode === null;

  const stop = async () => {
    // As with Ctrl-C, all processes receive the signal.
    for (const each of treeOf(pid)) signal(each, 'SIGINT');
    const over = await Promise.race([ended.then(() => true), delay(stopMs, false, { ref: false })]);
    if (!over) for (const each of treeOf(pid)) signal(each, 'SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  };

  try {
    const ready = async () => {
      if (!isRunning()) throw new Error(`"npm start" has ended:\n${readFileSync(logFile, 'utf8').slice(-3_000)}`);
      const url = `http://127.0.0.1:${grpc}/readyz`;
      const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
      await answer?.arrayBuffer();
      return answer?.status;
    };
    await until('"npm start" ready', ready, (status) => status === 200, startMs, 100);
  } catch (error) {
    await stop();
    throw error;
  }
  const about = { issuer: 'caudal', audience: 'caudal', subject: 'bench', permissions: everything() };
  const token = await signToken({ key: key.privateKey, ttlSeconds: 86_400, ...about });
  const postmaster = readFileSync(join(folder, 'postgres/postmaster.pid'), 'utf8').split('\n');
  const password = readFileSync(join(folder, 'postgres.password'), 'utf8').trim();
  return {
    pid,
    postgresPid: Number(postmaster[0]),
    databaseUrl: `postgres://caudal:${password}@127.0.0.1:${postmaster[3]}/postgres`,
    method: (path, request, answer) => openUnary({ address: `127.0.0.1:${grpc}`, path, request, answer, token }),
    stop,
  };
}

function signal(pid: number, name: 'SIGINT' | 'SIGKILL'): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended.
  }
}

/**
 * `npm start` and similar commands as a newcomer runs them: the real npm, in an environment of its own, and optionally
 * as another user.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { freePorts } from '../e2e/part.ts';
import { until } from '../e2e/wait.ts';

export interface User {
  uid: number;
  gid: number;
}

export interface RunOptions {
  cwd: string;
  env?: Record<string, string>;
  /** Absent: this process's user. */
  user?: User;
}

export interface Running {
  pid: number;
  /** Standard output and error, so far. */
  said(): string;
  /** Its exit code, or the signal that ended it. Killed after two minutes. */
  ended: Promise<number | string>;
}

// Far more than it takes: other tests may use the same cores.
const limitMs = 120_000;
const running: ChildProcess[] = [];

/** Without this project's tools in PATH, since npm finds them by itself, and without a home, unless `env` has one. */
const path = (process.env.PATH ?? '')
  .split(':')
  .filter((folder) => !folder.includes('node_modules'))
  .join(':');

export function run(command: string, args: string[], { cwd, env = {}, user }: RunOptions): Running {
  const child = spawn(command, args, {
    cwd,
    env: { PATH: path, npm_config_update_notifier: 'false', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...user,
  });
  running.push(child);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
  }
  const killer = setTimeout(() => child.kill('SIGKILL'), limitMs);
  const ended = once(child, 'exit').then(([code, signal]) => {
    clearTimeout(killer);
    return (code ?? signal) as number | string;
  });
  return { pid: child.pid!, said: () => said, ended };
}

/** Runs a command that ends by itself; returns its exit code and its whole output. */
export async function result(...args: Parameters<typeof run>): Promise<{ code: number | string; said: string }> {
  const { ended, said } = run(...args);
  const code = await ended;
  return { code, said: said() };
}

export interface Started extends Running {
  rest: string;
  ports: { rest: number; grpc: number };
  /** Its processes: bootstrap.js has become the program. */
  chain: { npm: number; program: number };
}

/** Starts `npm start` on free ports, and returns when its output says that Caudal is up. */
export async function npmStart({ env, ...options }: RunOptions): Promise<Started> {
  const [rest, grpc] = (await freePorts(2)) as [number, number];
  const ports = { CAUDAL_REST_PORT: String(rest), CAUDAL_GRPC_PORT: String(grpc) };
  const npm = run('npm', ['start'], { ...options, env: { ...ports, ...env } });
  let over: number | string | undefined;
  void npm.ended.then((code) => {
    over = code;
  });
  await until(
    'npm start says that Caudal is up',
    async () => ({ over, said: npm.said() }),
    ({ over, said }) => over !== undefined || said.includes('Caudal is up'),
    limitMs,
  );
  if (over !== undefined) throw new Error(`npm start ended with ${over}:\n${npm.said()}`);
  const [program, ...more] = childrenOf(npm.pid);
  if (more.length > 0 || !program) throw new Error('npm start has other processes than the program.');
  return {
    ...npm,
    rest: `http://127.0.0.1:${rest}`,
    ports: { rest, grpc },
    chain: { npm: npm.pid, program },
  };
}

/** Waits until the system's ports are free and no process of it is left. */
export async function isGone({ ports }: Started, dataDirectory: string): Promise<void> {
  await until(
    'it has ended',
    async () => ({
      rest: await listens(ports.rest),
      grpc: await listens(ports.grpc),
      processes: processesOf(dataDirectory, ports.rest),
    }),
    ({ rest, grpc, processes }) => !rest && !grpc && processes.length === 0,
  );
}

/** For `afterAll`: kills the processes that a failed test has left, PostgreSQL too. */
export function killLeftovers(dataDirectories: string[]): void {
  for (const child of running.splice(0)) child.kill('SIGKILL');
  for (const { pid } of dataDirectories.flatMap((directory) => processesOf(directory))) process.kill(pid, 'SIGKILL');
}

interface Found {
  pid: number;
  command: string;
}

/**
 * The processes with the data directory in their command line (PostgreSQL), or the port in their environment (the
 * others).
 */
export function processesOf(dataDirectory: string, restPort?: number): Found[] {
  return pids().flatMap((pid) => {
    const command = procFile(pid, 'cmdline').replaceAll('\0', ' ');
    const port = restPort !== undefined && procFile(pid, 'environ').includes(`CAUDAL_REST_PORT=${restPort}\0`);
    return command !== '' && (port || command.includes(`-D ${dataDirectory}/`)) ? [{ pid, command }] : [];
  });
}

/** A line of /proc/PID/status: `CapEff`. */
export function statusOf(pid: number, name: string): string | undefined {
  return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(procFile(pid, 'status'))?.[1];
}

/** Whether it runs: a zombie, which has ended, has no command line. */
export const isAlive = (pid: number): boolean => procFile(pid, 'cmdline') !== '';

/** The child processes of a process. */
export function childrenOf(parent: number): number[] {
  // Field 4, the parent, is after the command's name, which may contain any characters.
  return pids().filter((pid) => Number(procFile(pid, 'stat').split(') ').at(-1)?.split(' ')[1]) === parent);
}

const pids = () =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

function procFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return ''; // it is over, or another user's
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

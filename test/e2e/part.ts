/** One process of the system under test: it can be started, ended, killed, and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export interface Part {
  name: string;
  logFile: string;
  rest: string;
  /** `host:port` */
  grpc: string;
  /** Starts it, and waits until it is ready. Throws if that takes too long, or if it ends. */
  start(): Promise<void>;
  /** Whether /readyz answers 200. */
  isReady(): Promise<boolean>;
  /**
   * Sends the signal, and waits for the end; after 30 s the process is killed. Returns its exit code, or the signal
   * that ended it.
   */
  end(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<number | string>;
  /** Its process id; undefined if it does not run. */
  pid(): number | undefined;
  /** Stops the process, with all its connections open (SIGSTOP), or continues it. Does nothing if it does not run. */
  pause(on: boolean): void;
  /** Its warnings and errors, and the end of its log: for a failure's message. */
  trouble(): string;
}

export interface PartOptions {
  name: string;
  env: Record<string, string>;
  ports: { rest: number; grpc: number };
  logFile: string;
}

export const root = fileURLToPath(new URL('../..', import.meta.url));
/** The file of the `caudal` command, from the root. */
export const main = 'apps/cli/src/main.ts';
/** What seals personal data in a database that several processes share. */
export const testPersonalDataKeys = `test:${Buffer.alloc(32, 7).toString('base64')}`;
const startMs = 60_000;
const endMs = 30_000;

export function createPart({ name, env, ports, logFile }: PartOptions): Part {
  let child: ChildProcess | undefined;
  const isRunning = () => child !== undefined && child.exitCode === null && child.signalCode === null;

  async function isReady(): Promise<boolean> {
    const answer = await fetch(`http://127.0.0.1:${ports.grpc}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(
      () => undefined,
    );
    await answer?.arrayBuffer();
    return answer?.status === 200;
  }

  return {
    name,
    logFile,
    rest: `http://127.0.0.1:${ports.rest}`,
    grpc: `127.0.0.1:${ports.grpc}`,
    isReady,

    async start() {
      if (isRunning()) throw new Error(`${name} runs already.`);
      // A file, not a pipe, so that lines just before a kill -9 are kept.
      const log = openSync(logFile, 'a');
      writeSync(log, `--- ${new Date().toISOString()} ${name} starts\n`);
      child = spawn(process.execPath, [main, 'start'], {
        cwd: root,
        env: {
          PATH: process.env.PATH,
          HOME: process.env.HOME,
          CAUDAL_REST_PORT: String(ports.rest),
          CAUDAL_GRPC_PORT: String(ports.grpc),
          // Without an embedded PostgreSQL, Caudal uses the sandbox only if that is set.
          ...(env.DATABASE_URL && !env.PAYMENTS_GATEWAY_URL && { PAYMENTS_GATEWAY: 'sandbox' }),
          ...(env.DATABASE_URL && { CAUDAL_PERSONAL_DATA_KEYS: testPersonalDataKeys }),
          ...env,
        },
        stdio: ['ignore', log, log],
      });
      closeSync(log);
      const deadline = performance.now() + startMs;
      while (!(await isReady())) {
        if (!isRunning()) throw new Error(`${name} ended while it started.\n${trouble()}`);
        if (performance.now() > deadline) throw new Error(`${name} was not ready in ${startMs} ms.\n${trouble()}`);
        await delay(50);
      }
    },

    async end(signal) {
      if (child && isRunning()) {
        const ended = once(child, 'exit');
        child.kill(signal);
        const limit = new AbortController();
        await Promise.race([ended, delay(endMs, undefined, { signal: limit.signal }).catch(() => {})]);
        limit.abort();
        if (isRunning()) {
          child.kill('SIGKILL');
          await ended;
          return `not ended by ${signal} within ${endMs} ms`;
        }
      }
      return child?.exitCode ?? child?.signalCode ?? 'never started';
    },

    pid: () => (isRunning() ? child?.pid : undefined),

    pause(on) {
      if (isRunning()) child?.kill(on ? 'SIGSTOP' : 'SIGCONT');
    },

    trouble,
  };

  function trouble(): string {
    const lines = existsSync(logFile) ? readFileSync(logFile, 'utf8').trimEnd().split('\n') : [];
    const bad = lines.filter((line) => /^\{"level":"(warn|error|fatal)"/.test(line)).slice(-15);
    const last = lines.slice(-5);
    const shown = [...new Set([...bad, ...last])].map((line) => line.slice(0, 1_500));
    return `== ${name} (all of it in ${logFile})\n${shown.join('\n')}`;
  }
}

/**
 * Ports that are free now, below the range of outgoing connections, so that a killed process finds its port free again.
 * All are held until the last is found, so that they differ.
 */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  while (servers.length < count) {
    const server = createServer();
    const listening = once(server, 'listening').then(
      () => true,
      () => false,
    );
    server.listen(10_000 + Math.floor(Math.random() * 10_000), '127.0.0.1');
    if (await listening) servers.push(server);
  }
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}

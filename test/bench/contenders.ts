/** Runs processes that contend for one product, all at the same time. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { generateKey } from '@caudal/rpc/server/tokens.ts';
import type { Measured } from './load.ts';

export interface Contender {
  url: string;
  productId: string;
  /** Clients of this process. */
  clients: number;
  /** Before the measurement. */
  warmSeconds: number;
  seconds: number;
}

const script = fileURLToPath(new URL('./contender.ts', import.meta.url));

/** `processes` that share the clients out. Their rates add up; of their times the longest counts. */
export async function contend(processes: number, { clients, ...contender }: Contender): Promise<Measured> {
  const key = await generateKey('bench');
  const started: ChildProcess[] = [];
  const message = (child: ChildProcess) =>
    new Promise<unknown>((resolve, reject) => {
      child.once('message', resolve);
      child.once('exit', (code) => reject(new Error(`A contender ended with ${code}.`)));
    });
  try {
    for (let number = 0; number < processes; number++) {
      const share = Math.ceil(clients / processes);
      started.push(fork(script, [JSON.stringify({ ...contender, clients: share, key })]));
    }
    await Promise.all(started.map(message));
    const results = Promise.all(started.map(message));
    for (const child of started) child.send('go');
    const parts = (await results) as Measured[];
    const ended = Promise.all(started.map((child) => once(child, 'exit')));
    for (const child of started) child.send('end');
    await ended;
    return {
      rate: parts.reduce((sum, { rate }) => sum + rate, 0),
      operations: parts.reduce((sum, { operations }) => sum + operations, 0),
      p50: Math.max(...parts.map(({ p50 }) => p50)),
      p99: Math.max(...parts.map(({ p99 }) => p99)),
      max: Math.max(...parts.map(({ max }) => max)),
    };
  } finally {
    for (const child of started) child.kill('SIGKILL');
  }
}

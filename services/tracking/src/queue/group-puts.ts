/** Puts of many callers in one write: each waits for the disk, or the broker, together with others. */
import { TraceBatch } from '@caudal/contract/gen/caudal/tracking/v1/events.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { TraceQueue } from './types.ts';

interface Put {
  bodies: Uint8Array[];
  resolve(): void;
  reject(error: unknown): void;
}

/** An encoded TraceBatch. */
export interface EncodedBatch {
  traces: number;
  body: Uint8Array;
}

/** Traces of a batch; one put may have as many. */
const batchTraces = 1_000;
const maxInFlight = 4;
/** Traces that wait in memory: with the longest texts some 100 MB. */
const maxWaiting = 20_000;

/** The queue takes no more. */
export function queueFull(): CaudalError {
  return new CaudalError('RESOURCE_EXHAUSTED', 'TRACE_QUEUE_FULL', 'Too many traces wait to be written. Try again.', {
    retryAfterMs: 1_000,
  });
}

/** What `write` throws, all puts of its batch get. */
export function groupPuts(write: (batch: EncodedBatch) => Promise<void>): Pick<TraceQueue, 'put' | 'offered'> {
  const waiting: Put[] = [];
  let traces = 0;
  let offered = 0;
  let inFlight = 0;

  function next(): Put[] {
    let size = 0;
    const count = waiting.findIndex(({ bodies }, index) => {
      size += bodies.length;
      return index > 0 && size > batchTraces;
    });
    return waiting.splice(0, count < 0 ? waiting.length : count);
  }

  async function send(): Promise<void> {
    inFlight++;
    while (waiting.length > 0) {
      const puts = next();
      const bodies = puts.flatMap((put) => put.bodies);
      traces -= bodies.length;
      try {
        const body = TraceBatch.encode({ traces: bodies as Buffer[] }).finish();
        await write({ traces: bodies.length, body });
        for (const { resolve } of puts) resolve();
      } catch (error) {
        for (const { reject } of puts) reject(error);
      }
    }
    inFlight--;
  }

  function put(bodies: Uint8Array[]): Promise<void> {
    offered += bodies.length;
    if (traces + bodies.length > maxWaiting) return Promise.reject(queueFull());
    traces += bodies.length;
    return new Promise((resolve, reject) => {
      waiting.push({ bodies, resolve, reject });
      // Those that arrive in the same turn of the loop go together.
      if (inFlight < maxInFlight) queueMicrotask(() => inFlight < maxInFlight && waiting.length > 0 && void send());
    });
  }

  return { put, offered: () => offered };
}

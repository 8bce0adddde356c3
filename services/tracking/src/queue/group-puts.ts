/**
 * Puts of many callers in one write: each waits for the disk, or the broker, together with others. Callers that can wait leave a part of
 * the room to those that can't, many of which try once (docs/tracking.md, Room in the queue).
 */
import { TraceBatch } from '@caudal/contract/gen/caudal/tracking/v1/events.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { PutOptions, TraceQueue } from './types.ts';

interface Put {
  bodies: Uint8Array[];
  resolve(): void;
  reject(error: unknown): void;
}

/** An encoded TraceBatch. */
export interface EncodedBatch {
  traces: number;
  body: Uint8Array;
  /** Whether all its callers can wait. */
  patient: boolean;
}

/** Traces of a batch; one put may have as many. */
export const batchTraces = 1_000;
const maxInFlight = 4;
/** Traces that wait in memory: with the longest texts some 100 MB. */
const maxWaiting = 20_000;
/** The part of it that callers have who can wait. */
const patientWaiting = 15_000;

/** The queue takes no more. */
export function queueFull(): CaudalError {
  return new CaudalError('RESOURCE_EXHAUSTED', 'TRACE_QUEUE_FULL', 'Too many traces wait to be written. Try again.', {
    retryAfterMs: 1_000,
  });
}

/** What `write` throws, all puts of its batch get. */
export function groupPuts(write: (batch: EncodedBatch) => Promise<void>): Pick<TraceQueue, 'put' | 'accepted'> {
  const lines: Record<'hurried' | 'patient', Put[]> = { hurried: [], patient: [] };
  let last: keyof typeof lines = 'patient';
  let traces = 0;
  let accepted = 0;
  let inFlight = 0;
  const waits = () => lines.hurried.length + lines.patient.length > 0;

  /** Of one kind, in turn: a put that can't wait fails with no batch for which there is less room. */
  function next(): Put[] {
    const other = last === 'patient' ? 'hurried' : 'patient';
    if (lines[other].length > 0) last = other;
    const waiting = lines[last];
    let size = 0;
    const count = waiting.findIndex(({ bodies }, index) => {
      size += bodies.length;
      return index > 0 && size > batchTraces;
    });
    return waiting.splice(0, count < 0 ? waiting.length : count);
  }

  async function send(): Promise<void> {
    inFlight++;
    while (waits()) {
      const puts = next();
      const patient = last === 'patient';
      const bodies = puts.flatMap((put) => put.bodies);
      traces -= bodies.length;
      try {
        const body = TraceBatch.encode({ traces: bodies as Buffer[] }).finish();
        await write({ traces: bodies.length, body, patient });
        accepted += bodies.length;
        for (const { resolve } of puts) resolve();
      } catch (error) {
        for (const { reject } of puts) reject(error);
      }
    }
    inFlight--;
  }

  function put(bodies: Uint8Array[], { patient = false }: PutOptions = {}): Promise<void> {
    if (traces + bodies.length > (patient ? patientWaiting : maxWaiting)) return Promise.reject(queueFull());
    traces += bodies.length;
    return new Promise((resolve, reject) => {
      lines[patient ? 'patient' : 'hurried'].push({ bodies, resolve, reject });
      // Those that arrive in the same turn of the loop go together.
      if (inFlight < maxInFlight) queueMicrotask(() => inFlight < maxInFlight && waits() && void send());
    });
  }

  return { put, accepted: () => accepted };
}

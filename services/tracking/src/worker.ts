/**
 * The worker: takes batches from the queue and writes them, at a controlled rate. Two lanes, so that one batch is decoded and judged while
 * the other waits for the disk. README, The worker's rate.
 */
import { isTransient } from '@caudal/kernel/errors.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { backoffMs, type Clock, sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { batchSize, traces, writeLag, writeSeconds } from './metrics.ts';
import { openPace } from './pace.ts';
import type { Lane, TraceQueue } from './queue/types.ts';
import { type Written, writeTraces } from './store/write-traces.ts';

export interface WorkerOptions {
  queue: TraceQueue;
  clock: Clock;
  /** Traces a second at most; 0 for no bound. */
  rate: number;
  /** Called after a batch in which a status has changed. */
  onChanges(): void;
  /** How often it looks for traces that another process has put into the inbox. */
  pollMs: number;
  lanes?: number;
}

/** How often the queue of before is looked at: mostly it is empty. */
const formerMs = 2_000;

const log = logger('tracking-worker');

export function startWorker({ queue, clock, rate, onChanges, pollMs, lanes = 2 }: WorkerOptions): Running {
  const stopping = new AbortController();
  const { signal } = stopping;
  const pace = openPace({ rate, lanes });
  const open = Array.from({ length: lanes }, () => queue.lane({ pollMs }));
  if (queue.former) open.push(queue.former.lane({ pollMs: formerMs }));
  const running = open.map(run);

  async function run(lane: Lane): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        await pace.wait(signal);
        if (signal.aborted) return;
        await writeBatch(lane);
        failures = 0;
      } catch (error) {
        failures++;
        pace.failed();
        log[isTransient(error) ? 'warn' : 'error']({ err: error, failures }, 'a batch of traces is written again');
        await sleep(backoffMs(failures, { firstMs: 100, maxMs: 10_000 }), signal);
      }
    }
  }

  async function writeBatch(lane: Lane): Promise<void> {
    let [began, before] = [0, 0];
    let written: Written | undefined;
    const limit = pace.size();
    const taken = await lane.take(
      limit,
      async (tx, bodies) => {
        began = performance.now();
        before = queue.accepted();
        written = await writeTraces(tx, bodies);
      },
      signal,
    );
    if (taken === 0 || !written) return;
    const ms = performance.now() - began;
    pace.written({ limit, traces: taken, ms, accepted: queue.accepted() - before });
    measure(written, taken, ms);
    if (written.changes > 0) onChanges();
  }

  function measure({ rows, duplicates }: Written, taken: number, ms: number): void {
    traces.add(rows.length, { outcome: 'written' });
    if (duplicates > 0) traces.add(duplicates, { outcome: 'duplicate' });
    writeSeconds.record(ms / 1_000);
    batchSize.record(taken);
    const first = rows[0]?.trace.receivedAt;
    if (first) writeLag.record(Math.max(0, clock().getTime() - first.getTime()) / 1_000);
  }

  return {
    async stop() {
      stopping.abort();
      await Promise.all(running);
      await Promise.all(open.map((lane) => lane.stop()));
    },
  };
}

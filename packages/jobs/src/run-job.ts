/**
 * One run of a job, from its claim to its record:
 *
 *   claimed ──> running ──ends──────────────────────────────> recorded (the lease is released)
 *                  │ time-out, end of the process, lost lease: the signal fires
 *                  └──> ending ──ends, or graceMs are over──> recorded, unless the lease is lost
 *
 * A crash at any point leaves the claim. When the lease has expired, the run counts as abandoned, and the job runs
 * again.
 */
import { backoffMs, limitedTo, sleep, within } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter, gauge, histogram } from '@caudal/telemetry/metrics.ts';
import { withSpan } from '@caudal/telemetry/spans.ts';
import { guardedDatabase } from './guarded-database.ts';
import { type Claim, endRun } from './job-store.ts';
import { keepLease } from './keep-lease.ts';
import { type GuardedDatabase, type Job, LeaseLost, type Outcome } from './types.ts';

const TIMEOUT_MS = 600_000;
/** How long a run may take to end once its signal has fired. */
const GRACE_MS = 5_000;

const log = logger('jobs');
const runs = counter('job_runs_total', 'Runs of jobs that have ended, by context, job_name and outcome');
const durations = histogram('job_duration_seconds', 'How long runs of jobs took, by context and job_name', 's', [
  ...[0.01, 0.1, 1, 10, 60, 300, 600, 1_800, 3_600],
]);
const running = gauge('job_running', 'Whether this process runs the job at the moment, by context and job_name', '1');

export interface RunOptions<Tools> {
  database: Database;
  /** For metrics and logs. */
  context: string;
  job: Job<Tools>;
  claim: Claim;
  /** performance.now() before the claim. */
  claimedAt: number;
  leaseMs: number;
  /** Fires when the process ends. */
  signal: AbortSignal;
  /** How long a run may take to end once its signal has fired; 5,000 ms if absent. */
  graceMs?: number;
  /** The job's tools, with the database that checks its lease. */
  tools(database: GuardedDatabase): Tools;
}

export interface EndedRun {
  outcome: Outcome;
  /** The error that it threw, or the reason why it was ended. */
  error?: string;
  seconds: number;
  /** Resolves once the work itself has ended, which is later if it ignored its signal. */
  work: Promise<void>;
}

/** Runs a job that was claimed, and records how it ended. Never throws. */
export async function runJob<Tools>(options: RunOptions<Tools>): Promise<EndedRun> {
  const { database, context, job, claim, claimedAt, leaseMs, signal, graceMs = GRACE_MS } = options;
  const { name, epoch } = claim;
  const labels = { context, job_name: name };
  const began = performance.now();
  running.set(1, labels);
  const lease = keepLease(database, { name, epoch, leaseMs, since: claimedAt });
  const limit = limitedTo(job.timeoutMs ?? TIMEOUT_MS, AbortSignal.any([signal, lease.lost]));

  let thrown: { error: unknown } | undefined;
  const work = withSpan(`job ${context}.${name}`, { parent: '' }, async () => {
    if (limit.signal.aborted) return;
    const tools = options.tools(guardedDatabase(database, claim));
    await job.run(tools, { signal: limit.signal, token: epoch, now: claim.startedAt });
  }).catch((error: unknown) => {
    thrown = { error };
  });
  await ended(work, limit.signal, graceMs);
  limit.end();

  let { outcome, error } = judge();
  await lease.stop();
  if (outcome !== 'lease_lost' && !(await record())) {
    outcome = 'lease_lost';
    error ??= 'The outcome could not be recorded.';
  }
  const seconds = (performance.now() - began) / 1_000;
  running.set(0, labels);
  runs.add(1, { ...labels, outcome });
  durations.record(seconds, labels);
  logEnd();
  return { outcome, error, seconds, work };

  /** The signal's reason counts before the work's own end: a loop that obeys its signal returns before all is done. */
  function judge(): { outcome: Outcome; error?: string } {
    if (lease.lost.aborted || thrown?.error instanceof LeaseLost)
      return { outcome: 'lease_lost', error: 'Another process has taken over, or the lease could not be renewed.' };
    if (signal.aborted) return { outcome: 'interrupted', error: 'The process ended.' };
    if (limit.signal.aborted)
      return { outcome: 'timed_out', error: `It took longer than ${job.timeoutMs ?? TIMEOUT_MS} ms.` };
    if (thrown) return { outcome: 'failed', error: messageOf(thrown.error) };
    return { outcome: 'succeeded' };
  }

  /** Repeated for as long as the lease lasts. If all attempts fail, the run counts as abandoned, and is repeated. */
  async function record(): Promise<boolean> {
    const until = performance.now() + leaseMs;
    for (let attempt = 1; ; attempt++) {
      try {
        return await endRun(database, { name, epoch, outcome, error });
      } catch (cause) {
        log.warn({ ...labels, err: cause, attempt }, 'the end of a job could not be recorded');
        // If the process ends, it must not wait for an unreachable server.
        if (signal.aborted || performance.now() > until) return false;
      }
      await sleep(backoffMs(attempt, { firstMs: 100, maxMs: 2_000 }), signal);
    }
  }

  function logEnd(): void {
    const fields = { ...labels, outcome, run: epoch, seconds };
    if (outcome === 'succeeded') log.info(fields, 'a job has run');
    else if (outcome === 'interrupted') log.warn(fields, 'a job was interrupted');
    else log.error({ ...fields, err: thrown?.error ?? error }, 'a job has failed');
  }
}

/** Waits for the work, but no longer than `graceMs` after the signal. */
async function ended(work: Promise<void>, signal: AbortSignal, graceMs: number): Promise<void> {
  const fired = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await Promise.race([work, fired]);
  await within(graceMs, work);
}

/** Type and message, without passwords in URLs. */
function messageOf(error: unknown): string {
  const text = error instanceof Error ? `${error.name === 'Error' ? '' : `${error.name}: `}${error.message}` : error;
  return String(text).replace(/(\/\/[^/\s:@]*):[^/\s@]*@/g, '$1:***@');
}

/** Runs a context's jobs when they are due. Of each job only one run is active at a time, over all processes. */
import { hostname } from 'node:os';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { gauge } from '@caudal/telemetry/metrics.ts';
import { dueAt } from './due.ts';
import { claimJob, declareJobs, type JobRecord, readJobs } from './job-store.ts';
import { runJob } from './run-job.ts';
import type { GuardedDatabase, Job } from './types.ts';

const log = logger('jobs');
const overdue = gauge(
  'job_overdue_seconds',
  'How long a job has been due while no process runs it, by context and job_name',
  's',
);
const failing = gauge(
  'job_failures_in_row',
  'Runs of a job that have failed since one succeeded, by context and job_name',
  '1',
);
const succeeded = gauge(
  'job_last_success_timestamp_seconds',
  'When a job last succeeded, in seconds since 1970, by context and job_name',
  's',
);

/** The length of a run's lease: a process that dies delays its jobs by this long. */
export const LEASE_MS = 30_000;
/** The longest pause between two reads of the table. */
const POLL_MS = 15_000;
/** A poll, or the end of a run after its signal, that takes this long will never end. */
const STUCK_MS = 10 * 60_000;

/** This process, in a form for people. */
export const runningOn = `${hostname()} (pid ${process.pid})`;

export interface RunJobsOptions<Tools> {
  /** The context's own. */
  database: Database;
  /** The context's name, for metrics and logs. */
  context: string;
  /** Jobs that `checkJobs` has accepted. */
  jobs: Job<Tools>[];
  /**
   * Unique to the running process. A process that finds its own name on a job which it does not run takes it over at
   * once.
   */
  holder: string;
  tools(database: GuardedDatabase): Tools;
  /** 30,000 ms if absent. */
  leaseMs?: number;
  /** 15,000 ms if absent. */
  pollMs?: number;
  /** How long a run may take to end once its signal has fired; 5,000 ms if absent. */
  graceMs?: number;
}

export interface RunningJobs extends Running {
  /** A run or a poll that does not end, so that the process must be replaced. Undefined if there is none. */
  problem(): string | undefined;
}

/**
 * Starts to run the jobs. `stop` fires the signals of runs, waits for them (bounded) and records them as interrupted.
 */
export function runJobs<Tools>(options: RunJobsOptions<Tools>): RunningJobs {
  const { database, context, jobs, holder, leaseMs = LEASE_MS, pollMs = POLL_MS } = options;
  const ended = new AbortController();
  /**
   * Runs by job, until their work has ended: while a run ignores its signal, this process begins no other run of the
   * job.
   */
  const runs = new Map<string, { done: Promise<void>; endedAt?: number }>();
  /** The last run that this process has claimed of each job. */
  const claimed = new Map<string, number>();
  let wake = new AbortController();
  let startedAt: Date | undefined;
  let polledAt = performance.now();
  const loop = run();

  return {
    async stop() {
      ended.abort();
      await loop;
      await Promise.all([...runs.values()].map(({ done }) => done));
    },
    problem() {
      const now = performance.now();
      if (now - polledAt > STUCK_MS) return `jobs have not been polled for ${STUCK_MS / 60_000} minutes`;
      const stuck = [...runs].find(([, { endedAt }]) => endedAt !== undefined && now - endedAt > STUCK_MS);
      return stuck && `the job ${stuck[0]} has ignored its signal for ${STUCK_MS / 60_000} minutes`;
    },
  };

  async function run(): Promise<void> {
    let failures = 0;
    while (!ended.signal.aborted) {
      let pauseMs: number;
      wake = new AbortController();
      try {
        pauseMs = await poll();
        failures = 0;
      } catch (error) {
        failures += 1;
        log.warn({ context, err: error, failures }, 'jobs could not be polled');
        pauseMs = backoffMs(failures, { firstMs: 500, maxMs: pollMs });
      }
      polledAt = performance.now();
      await sleep(pauseMs, AbortSignal.any([ended.signal, wake.signal]));
    }
  }

  /** Starts the jobs that are due. Returns the pause until the next poll, in milliseconds. */
  async function poll(): Promise<number> {
    const { now, records } = await readJobs(database, leaseMs);
    startedAt ??= now;
    if (jobs.some(({ name }) => !records.has(name))) {
      await declareJobs(
        database,
        jobs.map(({ name }) => name),
      );
      return 0;
    }
    let next = now.getTime() + pollMs;
    for (const job of jobs) {
      const record = records.get(job.name)!;
      const due = dueAt(job.schedule, ownLeft(record), now, job.atStart ? startedAt : undefined);
      const late = due && !record.held && !runs.has(job.name) ? (now.getTime() - due.getTime()) / 1_000 : 0;
      measure(record, Math.max(0, late));
      if (!due || runs.has(job.name)) continue;
      if (due <= now) await begin(job, record);
      else next = Math.min(next, due.getTime());
    }
    return Math.max(next - now.getTime(), 10);
  }

  /** A run with this process's name that is not its own was left by an earlier process of the same name. */
  function ownLeft(record: JobRecord): JobRecord {
    // The record may be older than the end of a run of this process.
    if (record.holder !== holder || claimed.get(record.name) === record.epoch) return record;
    return { ...record, leaseUntil: record.lastStartedAt };
  }

  async function begin(job: Job<Tools>, { name, epoch }: JobRecord): Promise<void> {
    if (ended.signal.aborted) return;
    const claimedAt = performance.now();
    const claim = await claimJob(database, { name, epoch, holder, leaseMs, runningOn });
    if (!claim) return; // another process was faster
    claimed.set(name, claim.epoch);
    const entry: { done: Promise<void>; endedAt?: number } = { done: Promise.resolve() };
    runs.set(name, entry);
    entry.done = runJob({ ...options, job, claim, claimedAt, leaseMs, signal: ended.signal }).then(({ work }) => {
      entry.endedAt = performance.now();
      void work.then(() => {
        runs.delete(name);
        wake.abort();
      });
    });
  }

  function measure({ name, failuresInRow, lastSuccessAt }: JobRecord, late: number): void {
    const labels = { context, job_name: name };
    overdue.set(late, labels);
    failing.set(failuresInRow, labels);
    if (lastSuccessAt) succeeded.set(lastSuccessAt.getTime() / 1_000, labels);
  }
}

/** A job: scheduled work, done by one process at a time. */
import type { Transaction } from '@caudal/postgres/database.ts';

/** When a job is due: a cron expression of five fields, in UTC (`'0 3 * * *'`), or an interval in milliseconds. */
export type Schedule = string | { everyMs: number };

/** The arguments of a run beside the tools. */
export interface JobRun {
  /** Fires at the time-out, when the lease is lost, and when the process ends. The run should end soon after. */
  signal: AbortSignal;
  /** The fencing token: greater than that of every earlier run of the job. */
  token: number;
  /** When the run began, by the database's clock. */
  now: Date;
}

export interface Job<Tools> {
  /**
   * Unique within its context: `check-wallets`. Lower-case letters, digits and hyphens. It is stored: never change it.
   */
  name: string;
  /** A sentence for `caudal jobs list`. */
  description: string;
  schedule: Schedule;
  /** It is also due at each start of a process that runs it. */
  atStart?: boolean;
  /** The longest that a run may take, in milliseconds; 600,000 if absent. */
  timeoutMs?: number;
  /** Does the work. May be called again for the same due time, so it must be safe to repeat. An error is recorded. */
  run(tools: Tools, run: JobRun): Promise<void>;
}

/**
 * The context's database for one run. `query` is for reading. `transaction` commits only if the run still holds its
 * lease; otherwise it is rolled back, and LeaseLost is thrown.
 */
export interface GuardedDatabase extends Transaction {
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
}

/**
 * How a run ended. `interrupted`: its process ended in order. `abandoned`: its process died. `lease_lost`: another
 * process had taken over (never recorded, since the record belongs to that process).
 */
export type Outcome = 'succeeded' | 'failed' | 'timed_out' | 'interrupted' | 'abandoned' | 'lease_lost';

/** Another process runs the job now, so this run may have no further effect. */
export class LeaseLost extends Error {
  override name = 'LeaseLost';
  constructor(job: string, token: number) {
    super(`Run ${token} of the job ${job} has lost its lease: nothing was written.`);
  }
}

/** Runs a job at once, due or not, under the same lease as regular runs. */
import { newId } from '@caudal/kernel/ids.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { claimJob, declareJobs, type JobRecord, readJobs } from './job-store.ts';
import { LEASE_MS, runningOn } from './jobs.ts';
import { type EndedRun, type RunOptions, runJob } from './run-job.ts';

export type RunNowOptions<Tools> = Omit<RunOptions<Tools>, 'claim' | 'claimedAt' | 'leaseMs'>;

/**
 * Runs the job, or returns the record of the run in another process that prevents it. Errors: those of the database.
 */
export async function runJobNow<Tools>(
  options: RunNowOptions<Tools>,
): Promise<{ ran: EndedRun } | { heldBy: JobRecord }> {
  const { database, job } = options;
  const { name } = job;
  await declareJobs(database, [name]);
  const record = await readOne(database, name);
  if (record.held) return { heldBy: record };
  const of = { name, epoch: record.epoch, holder: newId(), leaseMs: LEASE_MS, runningOn };
  const claimedAt = performance.now();
  const claim = await claimJob(database, of);
  // Another process was faster.
  if (!claim) return { heldBy: await readOne(database, name) };
  return { ran: await runJob({ ...options, claim, claimedAt, leaseMs: LEASE_MS }) };
}

async function readOne(database: Database, name: string): Promise<JobRecord> {
  const record = (await readJobs(database, LEASE_MS)).records.get(name);
  if (!record) throw new Error(`The row of the job ${name} was deleted during the call.`);
  return record;
}

/**
 * How commands come into the queues of their streams, and leave them. A unit waits in the queue of its first stream, and joins the
 * others when it is first there: so a stream never waits for the backlog of another one. Whoever may transfer to a wallet
 * could otherwise hold up its queue by a transfer behind some hundred commands of its own wallet. In every queue its place is by its
 * number, that of its arrival.
 */
import type { Entry, Job } from './entry.ts';
import { putBack } from './recovery.ts';

/**
 * Puts a command that has arrived, or has read its streams, into the queue of its first stream; and into the others if nothing is in
 * its way there. `number`: the highest so far.
 */
export function join(job: Job, number: number, nowMs: number): void {
  job.number = number;
  const [first, ...others] = job.entries as [Entry, ...Entry[]];
  first.waiting.add(job);
  const isFree = first.waiting.size === 1 && !first.loading && !first.broken && nowMs >= first.contendedUntilMs;
  if (isFree) for (const entry of others) entry.waiting.add(job);
  else if (others.length > 0) {
    job.outside = true;
    for (const entry of others) entry.outside++;
  }
}

/** The unit is first in its first queue, which may be decided: takes its places in the others. */
export function joinOthers(job: Job): void {
  enter(job);
  for (const entry of job.entries.slice(1)) putBack(entry, [job]);
}

/** Takes a command out of its queues. */
export function leaveQueues(job: Job): void {
  enter(job);
  for (const entry of job.entries) entry.waiting.delete(job);
}

function enter(job: Job): void {
  if (!job.outside) return;
  job.outside = false;
  for (const entry of job.entries.slice(1)) entry.outside--;
}

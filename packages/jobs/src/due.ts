/**
 * When a job is due: a pure function of its schedule, its row and the database's time. So all processes agree, and a
 * time that was missed while no process ran is due once.
 */
import { Cron } from 'croner';
import type { JobRecord } from './job-store.ts';
import type { Schedule } from './types.ts';

/** A failed run is repeated after this pause, which doubles with each further failure, up to the longest one. */
const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 10 * 60_000;
/** The shortest pause from a run's end to the next run, for jobs that take longer than their interval. */
const LEAST_GAP_MS = 1_000;
/** If the last run is further than this in the future, the clock was set back after it. */
const SET_BACK_MS = 5_000;

/** The time of a schedule that follows `after`; undefined if there is none. */
export function nextTime(schedule: Schedule, after: Date): Date | undefined {
  if (typeof schedule !== 'string') return new Date(after.getTime() + schedule.everyMs);
  return new Cron(schedule, { timezone: 'UTC', paused: true }).nextRun(after) ?? undefined;
}

type Runs = Pick<
  JobRecord,
  'leaseUntil' | 'declaredAt' | 'lastStartedAt' | 'lastEndedAt' | 'lastOutcome' | 'failuresInRow'
>;

/**
 * When the job is due next; undefined if never. Several missed times since the last run count once. While the job runs,
 * and after its process died, it is due when the lease ends.
 *
 * @param startedAt when the calling process started, for a job that is due at each start
 */
export function dueAt(schedule: Schedule, runs: Runs, now: Date, startedAt?: Date): Date | undefined {
  const { leaseUntil, declaredAt, lastStartedAt, lastEndedAt, lastOutcome, failuresInRow } = runs;
  // The process died: due when the lease ends, then with growing pauses, in case the job itself ends the process.
  if (leaseUntil) return later(leaseUntil, failuresInRow > 0 ? pauseMs(failuresInRow) : 0);
  const last = lastStartedAt ?? declaredAt;
  const ended = lastEndedAt && lastEndedAt > last ? lastEndedAt : last;
  // The clock was set back, and the job would wait until it has caught up. So it is due once, now.
  if (ended.getTime() - now.getTime() > SET_BACK_MS) return now;
  // A start in the future was recorded before the clock was set back, and so was its run.
  if (startedAt && startedAt <= now && (!lastStartedAt || lastStartedAt < startedAt)) return startedAt;
  if (!lastStartedAt) return typeof schedule === 'string' ? nextTime(schedule, declaredAt) : declaredAt;
  const scheduled = nextTime(schedule, lastStartedAt);
  const again = failuresInRow > 0 || lastOutcome === 'interrupted';
  const retry = again ? later(ended, pauseMs(failuresInRow)) : undefined;
  return latest(later(ended, LEAST_GAP_MS), earliest(scheduled, retry));
}

/** A schedule for people. */
export function scheduleText(schedule: Schedule): string {
  if (typeof schedule === 'string') return `${schedule} UTC`;
  const units = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1_000, 's'],
  ] as const;
  const [ms, unit] = units.find(([size]) => schedule.everyMs % size === 0) ?? [1, 'ms'];
  return `every ${schedule.everyMs / ms} ${unit}`;
}

function pauseMs(failuresInRow: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(Math.max(failuresInRow, 1) - 1, 10));
}

function later(date: Date, ms: number): Date {
  return new Date(date.getTime() + ms);
}

function earliest(a: Date | undefined, b: Date | undefined): Date | undefined {
  if (!a || !b) return a ?? b;
  return a < b ? a : b;
}

function latest(a: Date, b: Date | undefined): Date | undefined {
  return b && (a > b ? a : b);
}

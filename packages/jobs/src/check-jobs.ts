/** Checks declared jobs. A mistake ends the start, with a message that names the job, the field and the fix. */
import { nextTime } from './due.ts';
import type { Job, Schedule } from './types.ts';

const LEAST_INTERVAL_MS = 1_000;
const LONGEST_INTERVAL_MS = 366 * 86_400_000;
const LONGEST_RUN_MS = 24 * 3_600_000;

/** Throws an Error if a job is declared wrongly, or if two have the same name. `context`: for the message. */
export function checkJobs(context: string, jobs: Pick<Job<never>, 'name' | 'schedule' | 'timeoutMs'>[]): void {
  const names = new Set<string>();
  for (const { name, schedule, timeoutMs = 1 } of jobs) {
    const fail = (field: string, fix: string) => {
      throw new Error(`Job "${name}" of ${context}: ${field} ${fix}`);
    };
    if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name) || name.length > 60)
      fail('name', 'must be at most 60 lower-case letters, digits and hyphens: "check-wallets".');
    if (names.has(name)) fail('name', 'is that of another job: choose another name.');
    names.add(name);
    if (!(timeoutMs >= 1 && timeoutMs <= LONGEST_RUN_MS)) fail('timeoutMs', `must be from 1 to ${LONGEST_RUN_MS}.`);
    const wrong = wrongSchedule(schedule);
    if (wrong) fail('schedule', wrong);
  }
}

function wrongSchedule(schedule: Schedule): string | undefined {
  if (typeof schedule !== 'string') {
    const { everyMs } = schedule;
    return everyMs >= LEAST_INTERVAL_MS && everyMs <= LONGEST_INTERVAL_MS
      ? undefined
      : `must have everyMs from ${LEAST_INTERVAL_MS} to ${LONGEST_INTERVAL_MS}.`;
  }
  const help = 'minute, hour, day of the month, month, day of the week: "0 3 * * *".';
  if (schedule.split(' ').length !== 5) return `"${schedule}" must have five fields: ${help}`;
  try {
    return nextTime(schedule, new Date()) ? undefined : `"${schedule}" matches no date: ${help}`;
  } catch (error) {
    return `"${schedule}" is not a cron expression (${(error as Error).message}): ${help}`;
  }
}

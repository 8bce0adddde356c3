import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { checkJobs } from './check-jobs.ts';
import { dueAt, scheduleText } from './due.ts';

const at = (text: string) => new Date(`2026-03-${text}Z`);
const nightly = '0 3 * * *';
const often = { everyMs: 300_000 };
const never = {
  leaseUntil: null,
  declaredAt: at('10T12:00:00'),
  lastStartedAt: null,
  lastEndedAt: null,
  lastOutcome: null,
  failuresInRow: 0,
};
const ran = (started: string, ended = started) => ({
  ...never,
  lastStartedAt: at(started),
  lastEndedAt: at(ended),
  lastOutcome: 'succeeded' as const,
});

test('a job that has never run is due at the first cron time, or at once with an interval', () => {
  expect(dueAt(nightly, never, at('10T12:00:01'))).toEqual(at('11T03:00:00'));
  expect(dueAt(often, never, at('10T12:00:01'))).toEqual(at('10T12:00:00'));
});

test('after a run the job is due at the next time after its start, in UTC', () => {
  expect(dueAt(nightly, ran('11T03:00:00.2'), at('11T03:00:05'))).toEqual(at('12T03:00:00'));
  expect(dueAt(nightly, ran('11T02:59:00'), at('11T02:59:30'))).toEqual(at('11T03:00:00'));
  expect(dueAt(often, ran('11T03:00:00', '11T03:01:00'), at('11T03:02:00'))).toEqual(at('11T03:05:00'));
});

test('times that were missed for days are due once', () => {
  const now = at('20T12:00:00');
  expect(dueAt(nightly, ran('11T03:00:00'), now)).toEqual(at('12T03:00:00'));
  expect(dueAt(nightly, ran('20T12:00:00'), now)).toEqual(at('21T03:00:00'));
  expect(dueAt(often, ran('20T12:00:00'), now)).toEqual(at('20T12:05:00'));
});

test('a run that takes longer than the interval is followed by the next one after a second', () => {
  expect(dueAt(often, ran('11T03:00:00', '11T04:00:00'), at('11T04:00:00'))).toEqual(at('11T04:00:01'));
});

test('a failed run is repeated after a pause that grows to ten minutes, or at its next regular time', () => {
  const failed = (failuresInRow: number) => ({ ...ran('11T03:00:00'), lastOutcome: 'failed' as const, failuresInRow });
  const pauses = [1, 2, 3, 4, 5, 50].map(
    (count) => dueAt(nightly, failed(count), at('11T03:00:00'))!.getTime() - at('11T03:00:00').getTime(),
  );
  expect(pauses.map((ms) => ms / 60_000)).toEqual([1, 2, 4, 8, 10, 10]);
  expect(dueAt({ everyMs: 30_000 }, failed(3), at('11T03:00:01'))).toEqual(at('11T03:00:30'));
  const interrupted = { ...ran('11T03:00:00'), lastOutcome: 'interrupted' as const };
  expect(dueAt(nightly, interrupted, at('11T03:00:01'))).toEqual(at('11T03:01:00'));
});

test('during a run, and after its process died, it is due when the lease ends, then with growing pauses', () => {
  const held = { ...ran('11T03:00:00'), leaseUntil: at('11T03:00:30') };
  expect(dueAt(nightly, held, at('11T03:00:01'))).toEqual(at('11T03:00:30'));
  expect(dueAt(nightly, { ...held, failuresInRow: 2 }, at('11T03:00:01'))).toEqual(at('11T03:02:30'));
});

test('with atStart it is due at each start of a process', () => {
  const startedAt = at('11T06:00:00');
  expect(dueAt(nightly, ran('11T05:59:00'), at('11T06:00:01'), startedAt)).toEqual(startedAt);
  expect(dueAt(nightly, ran('11T06:00:01'), at('11T06:00:02'), startedAt)).toEqual(at('12T03:00:00'));
  // It has run again since the clock was set back to a time before the start.
  expect(dueAt(often, ran('10T06:00:00'), at('10T06:00:01'), startedAt)).toEqual(at('10T06:05:00'));
});

test('after the clock was set back it is due once, now', () => {
  const now = at('11T02:00:00');
  expect(dueAt(nightly, ran('11T03:00:00'), now)).toEqual(now);
  expect(dueAt(nightly, { ...never, declaredAt: at('12T00:00:00') }, now)).toEqual(now);
  expect(dueAt(nightly, ran('11T02:00:00'), at('11T02:00:01'))).toEqual(at('11T03:00:00'));
});

test('however the clock has jumped, a job that succeeded is due within its interval', () => {
  const day = 86_400_000;
  const moment = fc.integer({ min: 0, max: 400 * day }).map((ms) => new Date(Date.UTC(2026, 0, 1) + ms));
  fc.assert(
    fc.property(
      moment,
      moment,
      fc.integer({ min: 0, max: day }),
      fc.option(moment),
      (now, lastStartedAt, tookMs, startedAt) => {
        const lastEndedAt = new Date(lastStartedAt.getTime() + tookMs);
        const runs = { ...never, lastStartedAt, lastEndedAt, lastOutcome: 'succeeded' as const };
        for (const [schedule, intervalMs] of [
          [nightly, day],
          [often, 300_000],
        ] as const) {
          const due = dueAt(schedule, runs, now, startedAt ?? undefined)!;
          expect(due.getTime() - now.getTime()).toBeLessThanOrEqual(intervalMs + 6_000);
          // If it is due now and runs now, it is not due again before its next time.
          if (due > now) continue;
          const again = dueAt(
            schedule,
            { ...runs, lastStartedAt: now, lastEndedAt: now },
            now,
            startedAt ?? undefined,
          )!;
          expect(again.getTime()).toBeGreaterThan(now.getTime());
        }
      },
    ),
  );
});

test('schedules for people', () => {
  expect([nightly, { everyMs: 3_600_000 }, { everyMs: 90_000 }, { everyMs: 1_500 }].map(scheduleText)).toEqual([
    ...['0 3 * * * UTC', 'every 1 h', 'every 90 s', 'every 1500 ms'],
  ]);
});

test.each<[object, RegExp]>([
  [{ name: 'Check Wallets' }, /Job "Check Wallets" of orders: name must be/],
  [{ name: 'twice' }, /Job "twice" of orders: name is that of another job/],
  [{ schedule: '* * * *' }, /schedule "\* \* \* \*" must have five fields/],
  [{ schedule: '61 * * * *' }, /schedule "61 \* \* \* \*" is not a cron expression \(.*minute: 61\)/],
  [{ schedule: '0 0 31 2 *' }, /matches no date/],
  [{ schedule: { everyMs: 10 } }, /everyMs from 1000/],
  [{ timeoutMs: 0 }, /timeoutMs must be from 1/],
])('a wrong declaration is refused: %j', (wrong, message) => {
  const jobs = ['twice', 'fine'].map((name) => ({ name, schedule: nightly }));
  expect(() => checkJobs('orders', jobs)).not.toThrow();
  expect(() => checkJobs('orders', [...jobs, { ...jobs[0]!, name: 'other', ...wrong }])).toThrow(message);
});

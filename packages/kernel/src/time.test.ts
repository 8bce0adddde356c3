import { describe, expect, test } from '@jest/globals';
import { backoffMs, isDay, isTime, limitedTo, sleep, within } from './time.ts';

const never = new Promise<void>(() => {});
const fired = () => AbortSignal.abort();

describe('sleep', () => {
  test('ends early, without an error, when its signal fires or has fired', async () => {
    const controller = new AbortController();
    const asleep = sleep(60_000, controller.signal);
    controller.abort();
    await expect(asleep).resolves.toBeUndefined();
    await expect(sleep(60_000, fired())).resolves.toBeUndefined();
  });
});

describe('within', () => {
  test('returns whether the promise was fulfilled in time', async () => {
    expect(await within(60_000, Promise.resolve())).toBe(true);
    expect(await within(1, never)).toBe(false);
    expect(await within(60_000, never, fired())).toBe(false);
  });

  test("throws the promise's error while it waits, and ignores it afterwards", async () => {
    await expect(within(60_000, Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    const late = new Promise<void>((_, reject) => setTimeout(() => reject(new Error('late')), 20));
    expect(await within(1, late)).toBe(false);
    await sleep(40);
  });
});

describe('limitedTo', () => {
  test('fires after the time, or with the given signal', async () => {
    const timed = limitedTo(1, new AbortController().signal);
    await sleep(20);
    expect(timed.signal.aborted).toBe(true);
    const controller = new AbortController();
    const following = limitedTo(60_000, controller.signal);
    expect(following.signal.aborted).toBe(false);
    controller.abort('stop');
    expect(following.signal.reason).toBe('stop');
    following.end();
    const late = limitedTo(60_000, fired());
    expect(late.signal.aborted).toBe(true);
    late.end();
  });

  test('does not fire once it is ended', async () => {
    const limit = limitedTo(5, new AbortController().signal);
    limit.end();
    await sleep(20);
    expect(limit.signal.aborted).toBe(false);
  });
});

test('pauses double up to their bound, half of each at random', () => {
  const pause = (attempt: number, random: number) => backoffMs(attempt, { firstMs: 100, maxMs: 1000 }, () => random);
  expect([1, 2, 3, 4, 5, 50].map((attempt) => pause(attempt, 1))).toEqual([100, 200, 400, 800, 1000, 1000]);
  expect(pause(1, 0)).toBe(50);
});

test('a day of the calendar is one that exists', () => {
  for (const day of ['2024-02-29', '2026-12-31', '0001-01-01']) expect([day, isDay(day)]).toEqual([day, true]);
  const never = [
    '2026-02-30',
    '2025-02-29',
    '2026-13-01',
    '2026-00-01',
    '2026-01-00',
    '2026-1-1',
    '2026-01',
    '',
    ' 2026-01-01',
  ];
  for (const day of never) expect([day, isDay(day)]).toEqual([day, false]);
});

test('a time exists: the day in the calendar, the hour on the clock', () => {
  for (const time of ['2024-02-29T23:59:59.999Z', '2026-03-01T01:00:00+02:00'])
    expect([time, isTime(time)]).toEqual([time, true]);
  for (const time of [
    '2026-02-30T12:00:00Z',
    '2026-01-31T24:00:00Z',
    '2026-01-31T12:00:60Z',
    '2026-01-31',
    '2026-01-31 12:00:00Z',
  ])
    expect([time, isTime(time)]).toEqual([time, false]);
});

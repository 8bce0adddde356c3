import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { stopAt } from '../testing/let-pass.ts';
import { freshMs, refreshed, retryMs, waitMs } from './refreshed.ts';

const start = Date.parse('2026-01-01T00:00:00Z');
/** The clock, in milliseconds after the start. */
const at = (ms: number) => stopAt(start + ms);
const hourMs = 3_600_000;
const turn = () => new Promise((resolve) => setImmediate(resolve));

let reads: number;
let away: boolean;
beforeEach(() => {
  [reads, away] = [0, false];
  at(0);
});
afterEach(() => {
  jest.useRealTimers();
});
const source = () =>
  refreshed<number>({
    name: 'a test',
    maxStaleMs: hourMs,
    async read() {
      reads++;
      if (away) throw new Error('away');
      return reads;
    },
  });

describe('a value of another system', () => {
  test('is read once for all that wait, and given without waiting while it is fresh', async () => {
    const value = source();
    expect(await Promise.all([value.get(), value.get()])).toEqual([1, 1]);
    at(freshMs - 1);
    expect(value.get()).toBe(1);
    expect(reads).toBe(1);
  });

  test('is read again in the background, and later before it is given', async () => {
    const value = source();
    await value.get();
    at(freshMs);
    expect([value.get(), value.get()]).toEqual([1, 1]);
    await turn();
    expect([reads, value.get()]).toEqual([2, 2]);
    at(freshMs + waitMs);
    expect(value.get()).toBeInstanceOf(Promise);
    expect(await value.get()).toBe(3);
  });

  test('is used while it is away, asked for every few seconds, and then not used any more', async () => {
    const value = source();
    await value.get();
    away = true;
    at(waitMs);
    // The first call waits for the read; those after it don't.
    expect(await value.get()).toBe(1);
    expect([value.get(), value.get(), reads]).toEqual([1, 1, 2]);
    at(waitMs + retryMs);
    expect(value.get()).toBe(1);
    await turn();
    expect(reads).toBe(3);
    at(hourMs + 1);
    await expect(value.get()).rejects.toThrow('away');
    await expect(value.get()).rejects.toThrow('away');
    expect(reads).toBe(4);
    away = false;
    at(hourMs + retryMs + 2);
    expect(await value.get()).toBe(5);
  });

  test('that was never there is asked for again after a pause', async () => {
    away = true;
    const value = source();
    await expect(value.get()).rejects.toThrow('away');
    await expect(value.get()).rejects.toThrow('away');
    expect(reads).toBe(1);
    away = false;
    at(retryMs);
    expect(await value.get()).toBe(2);
  });

  test('is renewed at most every so often', async () => {
    const value = source();
    await value.get();
    expect(await value.renew(10_000)).toBe(1);
    at(10_000);
    expect(await Promise.all([value.renew(10_000), value.renew(10_000)])).toEqual([2, 2]);
    away = true;
    at(20_000);
    expect(await value.renew(10_000)).toBe(2);
  });

  test('counts as old if the clock goes back', async () => {
    const value = source();
    await value.get();
    at(-hourMs);
    expect(await value.get()).toBe(2);
  });
});

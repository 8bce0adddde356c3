import { expect, test } from '@jest/globals';
import { openPace, type Pace, type WrittenBatch } from './pace.ts';

const write = (pace: Pace, batch: Pick<WrittenBatch, 'traces' | 'ms'> & Partial<WrittenBatch>) =>
  pace.written({ limit: pace.size(), accepted: 0, ...batch });

/** Whether the next batch has to wait. */
async function rests(pace: Pace): Promise<boolean> {
  const ending = new AbortController();
  let waits = true;
  const waiting = pace.wait(ending.signal).then(() => {
    waits = false;
  });
  await new Promise(setImmediate);
  const outcome = waits;
  ending.abort();
  await waiting;
  return outcome;
}

test('batches grow while the store is quick, and halve when it is slow or fails', () => {
  const pace = openPace({ rate: 0, lanes: 2 });
  expect(pace.size()).toBe(1_000);
  for (let batch = 0; batch < 100; batch++) write(pace, { traces: pace.size(), ms: 10 });
  expect(pace.size()).toBe(2_000);
  write(pace, { traces: 2_000, ms: 400 });
  expect(pace.size()).toBe(1_000);
  // A small batch that is slow says nothing of the size.
  write(pace, { traces: 10, ms: 400 });
  expect(pace.size()).toBe(1_000);
  for (let failure = 0; failure < 20; failure++) pace.failed();
  expect(pace.size()).toBe(50);
});

test('a rate is kept over batches, and a pause is not made up for', async () => {
  let now = 0;
  const pace = openPace({ rate: 1_000, lanes: 2, now: () => now });
  const ending = new AbortController();
  ending.abort();
  write(pace, { traces: 500, ms: 10 });
  write(pace, { traces: 500, ms: 10 });
  // What was written is paid for after a second: until then a batch waits.
  now = 900;
  const began = performance.now();
  await pace.wait(new AbortController().signal);
  expect(performance.now() - began).toBeGreaterThan(80);
  now = 10_000;
  write(pace, { traces: 1_000, ms: 10 });
  now = 10_900;
  await pace.wait(ending.signal);
  expect(pace.size()).toBeLessThanOrEqual(1_000);
});

test('beside calls that bring traces, batches are small', () => {
  const pace = openPace({ rate: 0, lanes: 2 });
  write(pace, { traces: 1_000, ms: 100, accepted: 1 });
  expect(pace.size()).toBe(250);
  write(pace, { traces: 250, ms: 20 });
  expect(pace.size()).toBeGreaterThan(1_000);
});

test('while more comes in than is written, half of the time is that of the calls, and no longer', async () => {
  const pace = openPace({ rate: 0, lanes: 2, now: () => 0 });
  write(pace, { traces: 1_000, ms: 100, accepted: 2_500 });
  write(pace, { traces: 250, ms: 100, accepted: 600 });
  expect(await rests(pace)).toBe(false);
  write(pace, { traces: 250, ms: 100, accepted: 600 });
  expect(await rests(pace)).toBe(true);
  const later = openPace({ rate: 0, lanes: 2, now: () => now });
  let now = 0;
  for (let batch = 0; batch < 10; batch++) write(later, { traces: 250, ms: 10_000, accepted: 60_000 });
  // A batch that is slow because the store is slow is not rested from for as long.
  now = 251;
  expect(await rests(later)).toBe(false);
  write(later, { traces: 250, ms: 100, accepted: 400 });
  expect(await rests(later)).toBe(false);
});

test('at a rate that the worker can write nothing is rested, also after a batch that was slow', async () => {
  const pace = openPace({ rate: 0, lanes: 2, now: () => 0 });
  const perSecond = 1_000;
  let waiting = 30;
  // Milliseconds of a batch: two lanes wait for the store for a second, and what has come meanwhile is written then.
  for (const ms of [30, 30, 1_000, 1_000, 60, 60, 60, 60, 60, 60, 60, 60, 30, 30]) {
    const traces = Math.min(pace.size(), waiting);
    const accepted = (ms / 1_000) * perSecond;
    write(pace, { traces, ms, accepted });
    waiting += accepted / 2 - traces;
    expect(await rests(pace)).toBe(false);
  }
});

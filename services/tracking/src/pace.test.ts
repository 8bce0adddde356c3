import { expect, test } from '@jest/globals';
import { openPace } from './pace.ts';

test('batches grow while the store is quick, and halve when it is slow or fails', () => {
  const pace = openPace({ rate: 0 });
  expect(pace.size()).toBe(1_000);
  for (let batch = 0; batch < 100; batch++) pace.written(pace.size(), 10, false);
  expect(pace.size()).toBe(2_000);
  pace.written(2_000, 400, false);
  expect(pace.size()).toBe(1_000);
  // A small batch that is slow says nothing of the size.
  pace.written(10, 400, false);
  expect(pace.size()).toBe(1_000);
  for (let failure = 0; failure < 20; failure++) pace.failed();
  expect(pace.size()).toBe(50);
});

test('a rate is kept over batches, and a pause is not made up for', async () => {
  let now = 0;
  const pace = openPace({ rate: 1_000, now: () => now });
  const ending = new AbortController();
  ending.abort();
  pace.written(500, 10, false);
  pace.written(500, 10, false);
  // What was written is paid for after a second: until then a batch waits.
  now = 900;
  const began = performance.now();
  await pace.wait(new AbortController().signal);
  expect(performance.now() - began).toBeGreaterThan(80);
  now = 10_000;
  pace.written(1_000, 10, false);
  now = 10_900;
  await pace.wait(ending.signal);
  expect(pace.size()).toBeLessThanOrEqual(1_000);
});

test('beside calls that bring traces, batches are small, and half of the time is theirs', async () => {
  let now = 0;
  const pace = openPace({ rate: 0, now: () => now });
  pace.written(1_000, 100, true);
  expect(pace.size()).toBe(250);
  now = 60;
  const began = performance.now();
  await pace.wait(new AbortController().signal);
  expect(performance.now() - began).toBeGreaterThan(30);
  now = 200;
  pace.written(250, 20, false);
  expect(pace.size()).toBeGreaterThan(1_000);
});

import { until } from '@caudal/testing/until.ts';
import { afterEach, expect, test } from '@jest/globals';
import { openPatience, type Patience } from './patience.ts';

let patience: Patience;
afterEach(() => patience.stop());

test('ends what takes too long, and nothing that is done', async () => {
  patience = openPatience();
  const ended: string[] = [];
  const done = patience.watch(10, () => ended.push('done'));
  patience.watch(10, () => ended.push('slow'));
  patience.watch(600_000, () => ended.push('patient'));
  done();
  expect(patience.size()).toBe(2);
  await until(() => ended.length > 0);
  expect([ended, patience.size()]).toEqual([['slow'], 1]);
});

test('a request that goes on to arrive has more time, and one that stops has not', async () => {
  patience = openPatience();
  const ended: string[] = [];
  const done = patience.watchArrival(
    100,
    () => 640 * 1024,
    () => ended.push('large'),
  );
  patience.watchArrival(
    100,
    () => 100,
    () => ended.push('small'),
  );
  await until(() => ended.length > 0);
  expect([ended, patience.size()]).toEqual([['small'], 1]);
  done();
  expect(patience.size()).toBe(0);
});

import { randomUUID } from 'node:crypto';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { expect, test } from '@jest/globals';
import { openInterest } from './interest.ts';
import { openSharedCounts } from './shared-counts.ts';

test('a process by itself counts in its memory', async () => {
  const counts = openInterest({ shared: undefined });
  const products = counts.in('products');
  for (let i = 0; i < 3; i++) products.saw('mug');
  expect([await products.of('mug'), await products.of('jug'), await counts.in('others').of('mug')]).toEqual([3, 0, 0]);
  await counts.stop();
});

describeWith(['redis'], 'with Redis', () => {
  test('processes count together: a look is seen at once here, and later elsewhere', async () => {
    const namespace = randomUUID();
    const shared = [1, 2].map(() => openSharedCounts(serverUrl('redis'), namespace));
    const one = openInterest({ shared: shared[0], everyMs: 100 });
    const other = openInterest({ shared: shared[1], everyMs: 3_600_000 });
    const [here, there] = [one.in('products'), other.in('products')];
    for (let i = 0; i < 5; i++) here.saw('mug');
    await until(async () => (await there.of('mug')) === 5);
    there.saw('mug');
    expect(await there.of('mug')).toBe(6);
    expect(await here.of('mug')).toBe(5);
    // The end of a process writes what it has gathered.
    await other.stop();
    await until(async () => (await here.of('mug')) === 6);
    await one.stop();
    for (const each of shared) each.stop();
  });
});

import { randomUUID } from 'node:crypto';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createClient } from 'redis';
import { openSharedCounts, type SharedCounts } from './shared-counts.ts';

const open: SharedCounts[] = [];
afterEach(() => {
  for (const counts of open.splice(0)) counts.stop();
});

function counts(url: string, namespace: string): SharedCounts {
  const opened = openSharedCounts(url, namespace);
  open.push(opened);
  return opened;
}

describeWith(['redis'], 'counts in Redis', () => {
  const connected = async (namespace: string) => {
    const opened = counts(serverUrl('redis'), namespace);
    await until(async () => (await opened.add([{ key: 'probe', calls: 1, windowMs: 1_000 }])) !== undefined);
    return opened;
  };

  test('are the sum of all processes, by key', async () => {
    const namespace = `test-${randomUUID()}`;
    const [one, other] = await Promise.all([connected(namespace), connected(namespace)]);
    await one.add([{ key: 'a', calls: 5, windowMs: 5_000 }]);
    const sums = await other.add([
      { key: 'a', calls: 7, windowMs: 5_000 },
      { key: 'b', calls: 1, windowMs: 2_000 },
    ]);
    expect(sums).toEqual([
      { count: 12, leftMs: expect.any(Number) },
      { count: 1, leftMs: expect.any(Number) },
    ]);
    expect(sums![0]!.leftMs > 0 && sums![0]!.leftMs <= 5_000).toBe(true);
  });

  test('a count ends with its window, and the next one begins at zero', async () => {
    const namespace = `test-${randomUUID()}`;
    const one = await connected(namespace);
    await one.add([{ key: 'a', calls: 5, windowMs: 200 }]);
    await until(async () => (await one.add([{ key: 'a', calls: 1, windowMs: 200 }]))?.[0]?.count === 1);
    const client = createClient({ url: serverUrl('redis') });
    await client.connect();
    await until(async () => (await client.keys(`caudal:rate:{${namespace}}:a`)).length === 0);
    client.destroy();
  });

  test('five hundred at once', async () => {
    const all = Array.from({ length: 500 }, (_, n) => ({ key: `caller ${n}`, calls: n + 1, windowMs: 1_000 }));
    let sums: Awaited<ReturnType<SharedCounts['add']>>;
    // On a busy machine Redis may answer too late, which counts as being away: then anew, under other keys.
    await until(async () => {
      const one = await connected(`test-${randomUUID()}`);
      sums = await one.add(all);
      return sums !== undefined;
    });
    expect(sums!.map(({ count }) => count)).toEqual(all.map(({ calls }) => calls));
  });
});

describe('without Redis', () => {
  test('there is no answer, at once', async () => {
    const one = counts('redis://127.0.0.1:1', 'test');
    expect(await one.add([{ key: 'a', calls: 1, windowMs: 1_000 }])).toBeUndefined();
  });
});

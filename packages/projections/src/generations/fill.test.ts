/** Filling: how many failures it keeps, and how long it waits in an outage. */
import { order } from '@caudal/contract/entities.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import type { EventHandler, Unfinished } from '@caudal/messaging/types.ts';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { confirmed, created, details, testLogs } from '../testing/projections.ts';
import { startFilling } from './fill.ts';
import { newParts } from './parts.ts';

/** Filling by a projector that the test defines. */
async function given(handle: EventHandler['handle'], { orders = 1, acceptFailed = false } = {}) {
  const made = testLogs();
  for (let number = 0; number < orders; number++) await made.append(order, `${number}`, created('ann'), confirmed);
  const projector = { name: 'test.v1.1', entities: ['orders.order'], handle, seen: async () => [] };
  const { signal } = new AbortController();
  const parts = newParts(1);
  const progress = { save: async () => {} };
  const { logs } = made;
  return startFilling({ projection: details, projector, logs, parts, progress, sampleSize: 5, acceptFailed, signal });
}

/** Fails the first event of each stream. */
const failing: EventHandler['handle'] = async (events) =>
  events
    .filter(({ version }) => version === 1)
    .map<Unfinished>((event) => ({ kind: 'failed', event, error: new Error('poison') }));

describe('filling', () => {
  afterEach(() => {
    jest.useRealTimers();
  });

  test('gives up after a thousand events that fail', async () => {
    await (await given(failing, { orders: 1_000 })).fill();
    const filling = await given(failing, { orders: 1_001 });
    await expect(filling.fill()).rejects.toMatchObject({ reason: 'REBUILD_FAILED_EVENTS' });
  });

  test('lists a thousand accepted failures, counts all, and leaves out the events behind them', async () => {
    const filling = await given(failing, { orders: 1_500, acceptFailed: true });
    await filling.fill();
    expect(filling.failures.listed).toHaveLength(1_000);
    expect(filling.failures.count()).toBe(1_500);
    expect(filling.events()).toBe(3_000);
    expect(filling.sample()).toEqual([]);
    // Consumers begin before the first event that failed.
    expect(filling.safePositions().get('orders')).toBe(0);
  });

  test('a gap that is not behind a failure means that the log is incomplete', async () => {
    const handle: EventHandler['handle'] = async ([event]) => [{ kind: 'gap', stream: event!.stream, seen: 0 }];
    const filling = await given(handle, { acceptFailed: true });
    await expect(filling.fill()).rejects.toMatchObject({ reason: 'REBUILD_INCOMPLETE_LOG' });
  });

  test('each of several outages has 40 attempts', async () => {
    let failures = 0;
    let calls = 0;
    const handle: EventHandler['handle'] = async () => {
      calls += 1;
      if (failures-- > 0) throw unavailable('the store');
      failures = 30;
      return [];
    };
    // Three pages, with an outage before the second and the third.
    const filling = await given(handle, { orders: 3_000 });
    jest.useFakeTimers();
    const filled = filling.fill();
    await jest.advanceTimersByTimeAsync(600_000);
    await filled;
    expect(calls).toBe(3 + 2 * 30);

    failures = Infinity;
    calls = 0;
    const never = await given(handle);
    const refused = expect(never.fill()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await jest.advanceTimersByTimeAsync(3_600_000);
    await refused;
    expect(calls).toBe(40);
  });
});

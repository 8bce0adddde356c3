/** Filling: what it keeps of failures, and how long it is patient. */
import { order } from '@caudal/contract/entities.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import type { EventHandler, Unfinished } from '@caudal/messaging/types.ts';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { confirmed, created, details, testLogs } from '../testing/projections.ts';
import { startFilling } from './fill.ts';

/** Filling by a projector that does what the test says. */
async function given(handle: EventHandler['handle'], { orders = 1, acceptFailed = false } = {}) {
  const made = testLogs();
  for (let number = 0; number < orders; number++) await made.append(order, `${number}`, created('ann'), confirmed);
  const projector = { name: 'test.v1.1', entities: ['orders.order'], handle, seen: async () => [] };
  const { signal } = new AbortController();
  return startFilling({ projection: details, projector, logs: made.logs, sampleSize: 5, acceptFailed, signal });
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

  test('keeps a thousand of those that are accepted, counts all, and passes over what is behind them', async () => {
    const filling = await given(failing, { orders: 1_500, acceptFailed: true });
    await filling.fill();
    expect(filling.failed).toHaveLength(1_000);
    expect(filling.failedCount()).toBe(1_500);
    expect(filling.events()).toBe(3_000);
    expect(filling.sample()).toEqual([]);
    // Consumers begin before the first that failed.
    expect(filling.safePositions().get('orders')).toBe(0);
  });

  test('a gap that no failure explains is the fault of the log', async () => {
    const handle: EventHandler['handle'] = async ([event]) => [{ kind: 'gap', stream: event!.stream, seen: 0 }];
    const filling = await given(handle, { acceptFailed: true });
    await expect(filling.fill()).rejects.toMatchObject({ reason: 'REBUILD_INCOMPLETE_LOG' });
  });

  test('an outage has 40 attempts, and each of several has', async () => {
    let failures = 0;
    let calls = 0;
    const handle: EventHandler['handle'] = async () => {
      calls += 1;
      if (failures-- > 0) throw unavailable('the store');
      failures = 30;
      return [];
    };
    // Three pages, and an outage before each but the first.
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

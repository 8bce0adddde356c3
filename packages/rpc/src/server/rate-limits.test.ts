import { setTimeout as delay } from 'node:timers/promises';
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import { describe, expect, test } from '@jest/globals';
import type { Party } from './places.ts';
import { openRateLimits, RateLimited, rateClassOf, rateHeaders, type SharedCounts } from './rate-limits.ts';

const of = (rateLimit: MethodContract['rateLimit'], noSideEffects = false) =>
  ({ rateLimit, noSideEffects }) as MethodContract;
const alice: Party = { key: 'alice', kind: 'caller' };
const quotas = { write: { calls: 5, windowMs: 10_000 }, read: { calls: 50, windowMs: 10_000 } };

function clock() {
  let time = 1_000;
  return { now: () => time, pass: (ms: number) => (time += ms) };
}

function counted(limits: ReturnType<typeof openRateLimits>, method: MethodContract, party: Party, times: number) {
  let calls = 0;
  for (let n = 0; n < times; n++) {
    try {
      limits.count(method, party);
      calls++;
    } catch (error) {
      if (!(error instanceof RateLimited)) throw error;
    }
  }
  return calls;
}

describe('the class of a method', () => {
  test('is that of the contract, or follows from its side effects', () => {
    const classes = (['DEFAULT', 'LIGHT', 'HEAVY', 'WEBHOOK', 'UNLIMITED'] as const).map((each) => [
      rateClassOf(of(each)),
      rateClassOf(of(each, true)),
    ]);
    expect(classes).toEqual([
      ['write', 'read'],
      ['light', 'light'],
      ['heavy', 'heavy'],
      ['webhook', 'webhook'],
      [undefined, undefined],
    ]);
    // Only Caudal's own logs are not limited.
    const free = contract()
      .methods()
      .filter((method) => rateClassOf(method) === undefined);
    expect(free.every(({ access }) => access.authentication === 'SERVICE')).toBe(true);
  });
});

describe('a quota', () => {
  test('holds for each caller and class, and begins anew with its window', () => {
    const { now, pass } = clock();
    const limits = openRateLimits(quotas, undefined, now);
    expect(counted(limits, of('DEFAULT'), alice, 8)).toBe(5);
    expect(counted(limits, of('DEFAULT'), { key: 'bob', kind: 'caller' }, 8)).toBe(5);
    expect(counted(limits, of('DEFAULT', true), alice, 60)).toBe(50);
    pass(9_999);
    expect(counted(limits, of('DEFAULT'), alice, 1)).toBe(0);
    pass(1);
    expect(counted(limits, of('DEFAULT'), alice, 8)).toBe(5);
  });

  test('is ten times as much for callers for all owners, and none for services and classes that are off', () => {
    const limits = openRateLimits(quotas);
    expect(counted(limits, of('DEFAULT'), { key: 'shop', kind: 'any' }, 100)).toBe(50);
    expect(counted(limits, of('DEFAULT'), { key: 'service:orders', kind: 'own' }, 100)).toBe(100);
    expect(limits.count(of('HEAVY'), alice)).toBeUndefined();
  });

  test('counts what is long as several calls', () => {
    const limits = openRateLimits(quotas);
    const call = limits.count(of('DEFAULT'), alice)!;
    call.charge(4_095);
    expect(call.standing().left).toBe(4);
    call.charge(4 * 2 ** 20);
    expect(call.standing().left).toBe(0);
    expect(counted(limits, of('DEFAULT'), alice, 1)).toBe(0);
  });

  test('is shown as the draft of the IETF has it, and in the refusal', () => {
    const { now, pass } = clock();
    const limits = openRateLimits(quotas, undefined, now);
    const call = limits.count(of('DEFAULT'), alice)!;
    pass(2_500);
    expect(rateHeaders(call.standing())).toEqual({
      'ratelimit-policy': '"write";q=5;w=10',
      ratelimit: '"write";r=4;t=8',
    });
    counted(limits, of('DEFAULT'), alice, 4);
    const refusal = (() => {
      try {
        return limits.count(of('DEFAULT'), alice);
      } catch (error) {
        return error as RateLimited;
      }
    })() as RateLimited;
    expect(refusal).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'RATE_LIMITED',
      metadata: { policy: 'write', quota: '5' },
    });
    expect(refusal.message).toContain('CAUDAL_RATE_LIMIT_WRITE');
    expect(refusal.retryAfterMs! >= 7_500 && refusal.retryAfterMs! <= 8_501).toBe(true);
    expect(rateHeaders(refusal.standing).ratelimit).toBe('"write";r=0;t=8');
  });

  test('holds for the 20,000 callers that have called last; memory is bounded by that', () => {
    const limits = openRateLimits(quotas);
    expect(counted(limits, of('DEFAULT'), alice, 5)).toBe(5);
    for (let n = 0; n < 19_999; n++) limits.count(of('DEFAULT'), { key: `caller ${n}`, kind: 'caller' });
    expect(counted(limits, of('DEFAULT'), alice, 1)).toBe(0);
    for (let n = 0; n < 20_000; n++) limits.count(of('DEFAULT'), { key: `other ${n}`, kind: 'caller' });
    expect(counted(limits, of('DEFAULT'), alice, 1)).toBe(1);
  });
});

/** Counts that processes share, as Redis keeps them. */
function sharedCounts(now: () => number) {
  const counts = new Map<string, { count: number; endsAt: number }>();
  const state = { away: false, asked: 0 };
  const shared: SharedCounts = {
    async add(all) {
      state.asked += all.length;
      if (state.away) return undefined;
      return all.map(({ key, calls, windowMs }) => {
        let known = counts.get(key);
        if (!known || known.endsAt <= now()) known = { count: 0, endsAt: now() + windowMs };
        counts.set(key, known);
        known.count += calls;
        return { count: known.count, leftMs: known.endsAt - now() };
      });
    },
  };
  return { shared, state, counts };
}

describe('a quota over several processes', () => {
  const large = { write: { calls: 1_000, windowMs: 10_000 } };
  const tell = () => delay(250);

  test('is used up by all of them together', async () => {
    const { shared, counts } = sharedCounts(() => performance.now());
    const processes = Array.from({ length: 4 }, () => openRateLimits(large, shared));
    for (let round = 0; round < 3; round++) {
      for (const limits of processes) counted(limits, of('DEFAULT'), alice, 100);
      await tell();
    }
    // 1,200 were made, of which the processes refuse what is above 1,000 and what they have counted between two tellings.
    const more = processes.map((limits) => counted(limits, of('DEFAULT'), alice, 100));
    // The first to tell has heard of the others only now.
    await tell();
    expect(more.reduce((sum, calls) => sum + calls)).toBeLessThanOrEqual(300);
    expect(processes.map((limits) => counted(limits, of('DEFAULT'), alice, 100))).toEqual([0, 0, 0, 0]);
    expect([...counts.keys()].join()).not.toContain('alice');
    for (const limits of processes) limits.stop();
  });

  test("is nobody else's business for callers that use less than a fiftieth", async () => {
    const { shared, state } = sharedCounts(() => performance.now());
    const limits = openRateLimits(large, shared);
    counted(limits, of('DEFAULT'), alice, 19);
    await tell();
    expect(state.asked).toBe(0);
    counted(limits, of('DEFAULT'), alice, 1);
    await tell();
    expect(state.asked).toBe(1);
    limits.stop();
  });

  test('holds in each process while the counts are away', async () => {
    const { shared, state } = sharedCounts(() => performance.now());
    state.away = true;
    const limits = openRateLimits(large, shared);
    expect(counted(limits, of('DEFAULT'), alice, 600)).toBe(600);
    await tell();
    expect(counted(limits, of('DEFAULT'), alice, 600)).toBe(400);
    limits.stop();
  });
});

describe('checks that fail', () => {
  const failed = { calls: 3, windowMs: 10_000 };

  test('of a network end its checks until its window ends; those of others go on', () => {
    const { now, pass } = clock();
    const limits = openRateLimits({ failed }, undefined, now);
    for (let n = 0; n < 3; n++) {
      limits.mayCheck('10.0.0.1');
      limits.countFailed('10.0.0.1');
    }
    expect(() => limits.mayCheck('10.0.0.1')).toThrow(
      expect.objectContaining({ code: 'RESOURCE_EXHAUSTED', reason: 'TOO_MANY_FAILED_CHECKS' }),
    );
    limits.mayCheck('10.0.0.2');
    pass(10_000);
    limits.mayCheck('10.0.0.1');
  });

  test('have no bound without a quota', () => {
    const limits = openRateLimits({});
    for (let n = 0; n < 100; n++) limits.countFailed('10.0.0.1');
    limits.mayCheck('10.0.0.1');
  });

  test('are counted by all processes together', async () => {
    const sums = new Map<string, number>();
    const shared: SharedCounts = {
      async add(counts) {
        return counts.map(({ key, calls }) => {
          sums.set(key, (sums.get(key) ?? 0) + calls);
          return { count: sums.get(key)!, leftMs: 9_000 };
        });
      },
    };
    const [one, other] = [openRateLimits({ failed }, shared), openRateLimits({ failed }, shared)];
    const isRefused = () => {
      try {
        one.mayCheck('10.0.0.1');
        return false;
      } catch {
        return true;
      }
    };
    one.countFailed('10.0.0.1');
    for (let n = 0; n < 2; n++) other.countFailed('10.0.0.1');
    for (let n = 0; n < 100 && !isRefused(); n++) {
      await delay(50);
      // Each learns of the other's with what it tells next.
      if (sums.size > 0 && [...sums.values()][0]! >= 3) one.countFailed('10.0.0.1');
    }
    expect(isRefused()).toBe(true);
    one.stop();
    other.stop();
  });
});

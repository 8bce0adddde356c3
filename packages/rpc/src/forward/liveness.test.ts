import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { type Liveness, openLiveness } from './liveness.ts';

let now: number;
let silentAt: number | undefined;
let pings: number[];
let liveness: Liveness;

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['performance'] });
  now = 0;
  silentAt = undefined;
  pings = [];
  liveness = openLiveness({
    ping: (number) => pings.push(number),
    onSilent: () => {
      silentAt = now;
    },
    elapsed: () => now,
  });
});
afterEach(() => {
  liveness.end();
  jest.useRealTimers();
});

/** Time passes; `answerMs`: after how long each ping is answered, never if absent. */
function pass(ms: number, answerMs?: number): void {
  for (let at = 0; at < ms; at += 10) {
    const sent = pings.length;
    now += 10;
    jest.advanceTimersByTime(10);
    const number = pings.at(-1);
    if (answerMs !== undefined && number !== undefined && pings.length > sent) {
      const wait = setTimeout(() => liveness.received(number), answerMs);
      void wait;
    }
  }
}

test('nothing is sent while no call waits', () => {
  pass(1_000);
  expect(pings).toEqual([]);
  liveness.begin();
  pass(150);
  liveness.end();
  pass(1_000);
  expect([pings, silentAt]).toEqual([[1], undefined]);
});

test('a peer that has always answered quickly is silent after 250 ms; one that is not known, after a second', () => {
  liveness.begin();
  pass(2_000);
  expect(silentAt).toBeGreaterThan(1_000);
  expect(silentAt).toBeLessThan(1_200);
  silentAt = undefined;
  liveness.begin();
  pass(3_000, 10);
  expect(silentAt).toBeUndefined();
  const from = now;
  pass(1_000);
  expect(silentAt! - from).toBeGreaterThan(200);
  expect(silentAt! - from).toBeLessThan(450);
});

test('a peer that is usually slow gets more time, a second at most', () => {
  liveness.begin();
  pass(4_000, 90);
  const from = now;
  pass(2_000);
  expect(silentAt).toBeDefined();
  expect(silentAt! - from).toBeLessThan(1_200);
});

test('time in which this process hung does not count', () => {
  liveness.begin();
  pass(3_000, 10);
  // The timers run late: the peer may have answered long ago.
  now += 2_000;
  jest.advanceTimersByTime(100);
  expect(silentAt).toBeUndefined();
  liveness.received(0);
  pass(200);
  expect(silentAt).toBeUndefined();
});

test('whatever is received counts as a sign of life', () => {
  liveness.begin();
  for (let n = 0; n < 30; n++) {
    pass(100);
    liveness.received(0);
  }
  expect(silentAt).toBeUndefined();
});

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { firstPoll, nextPoll, type PollOutcome, type PollState, silentDays } from './poll-plan.ts';

const minute = 60_000;
const day = 86_400_000;
const now = Date.UTC(2026, 2, 5);
const never = () => 1;
const pause = (state: PollState | undefined, at = now) => (state!.nextAt - at) / minute;

describe('the next poll', () => {
  test('is soon if it is out for delivery, and later the longer nothing is new', () => {
    const news = (status: 'PRE_TRANSIT' | 'IN_TRANSIT' | 'OUT_FOR_DELIVERY'): PollOutcome => ({
      kind: 'NEWS',
      said: 'a',
      status,
      ended: false,
    });
    expect(pause(nextPoll(firstPoll(now), news('OUT_FOR_DELIVERY'), now, never))).toBe(20);
    expect(pause(nextPoll(firstPoll(now), news('IN_TRANSIT'), now, never))).toBe(120);
    expect(pause(nextPoll(firstPoll(now), news('PRE_TRANSIT'), now, never))).toBe(360);
    let state = nextPoll(firstPoll(now), news('IN_TRANSIT'), now, never)!;
    const pauses: number[] = [];
    for (let n = 0; n < 6; n++) {
      state = nextPoll(state, { kind: 'NOTHING', status: 'IN_TRANSIT' }, now, never)!;
      pauses.push(pause(state) / 60);
    }
    expect(pauses).toEqual([4, 8, 16, 24, 24, 24]);
    expect(nextPoll(state, news('OUT_FOR_DELIVERY'), now, never)).toEqual({
      nextAt: now + 20 * minute,
      newsAt: now,
      quiet: 0,
      failures: 0,
      said: 'a',
    });
  });

  test('is none when it has ended, or has been silent for 30 days', () => {
    expect(
      nextPoll(firstPoll(now), { kind: 'NEWS', said: 'a', status: 'DELIVERED', ended: true }, now),
    ).toBeUndefined();
    const silent = firstPoll(now - silentDays * day);
    expect(nextPoll(silent, { kind: 'NOTHING' }, now - 1)).toBeDefined();
    expect(nextPoll(silent, { kind: 'NOTHING' }, now)).toBeUndefined();
    // A carrier that does not answer says nothing about the parcel, for a while.
    expect(nextPoll(silent, { kind: 'FAILED' }, now)).toBeDefined();
    expect(nextPoll(firstPoll(now - 90 * day), { kind: 'FAILED' }, now)).toBeUndefined();
  });

  test('backs off after failures, and waits as long as the carrier says', () => {
    let state = firstPoll(now);
    const pauses: number[] = [];
    for (let n = 0; n < 10; n++) {
      state = nextPoll(state, { kind: 'FAILED' }, now, never)!;
      pauses.push(pause(state));
    }
    expect(pauses).toEqual([2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
    expect(pause(nextPoll(state, { kind: 'NOTHING' }, now, never))).toBe(240);
    expect(nextPoll(state, { kind: 'NOTHING' }, now, never)!.failures).toBe(0);
    expect(pause(nextPoll(firstPoll(now), { kind: 'LIMITED', retryAfterMs: 5 * minute }, now, () => 0))).toBe(5);
  });

  test('is in the future, and within a day, whatever happens', () => {
    const outcome: fc.Arbitrary<PollOutcome> = fc.oneof(
      fc.constant<PollOutcome>({ kind: 'NEWS', said: 'x', status: 'IN_TRANSIT', ended: false }),
      fc.constant<PollOutcome>({ kind: 'NOTHING' }),
      fc.constant<PollOutcome>({ kind: 'FAILED' }),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(outcome, fc.double({ min: 0, max: 1, noNaN: true })), { maxLength: 60 }),
        (outcomes) => {
          let state = firstPoll(now);
          for (const [each, random] of outcomes) {
            const at = state.nextAt;
            const after = nextPoll(state, each, at, () => random);
            if (!after) return;
            expect(after.nextAt).toBeGreaterThan(at);
            expect(after.nextAt).toBeLessThanOrEqual(at + day);
            state = after;
          }
        },
      ),
    );
  });
});

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  addSketches,
  estimate,
  learn,
  maxDays,
  mondayToSaturday,
  type Sketch,
  sketchKeys,
  type Transit,
} from './eta.ts';

const zone = 'Europe/Berlin';
const local = (text: string, offset = '+01:00') => Date.parse(`${text}${offset}`);
const transit = (startedAt: number, deliveredAt: number): Transit => ({
  startedAt,
  deliveredAt,
  zone,
  calendar: mondayToSaturday,
});
const learnAll = (transits: Transit[]): Sketch | undefined =>
  transits.reduce<Sketch | undefined>((sketch, each) => learn(sketch, each), undefined);

/** 100 parcels from Monday, 2 March 2026: 50 take a day, 40 two, 10 three; at 10, 12 or 15 o'clock. */
const usual = learnAll(
  Array.from({ length: 100 }, (_, n) => {
    const days = n < 50 ? 1 : n < 90 ? 2 : 3;
    const at = local(`2026-03-0${2 + days}T${[10, 12, 15][n % 3]}:20:00`);
    return transit(local('2026-03-02T18:00:00'), at);
  }),
)!;
const base = { sketches: [usual], zone, calendar: mondayToSaturday };

describe('learning', () => {
  test('counts business days and hours at the place', () => {
    expect(usual.days.slice(0, 5)).toEqual([0, 50, 40, 10, 0]);
    expect([usual.hours[10], usual.hours[12], usual.hours[15]]).toEqual([34, 33, 33]);
    // Friday evening to Monday: Saturday and Monday; the hour is that of the summer's time.
    const weekend = learn(
      undefined,
      transit(local('2026-06-05T20:00:00', '+02:00'), local('2026-06-08T09:30:00', '+02:00')),
    );
    expect([weekend.days[2], weekend.hours[9]]).toEqual([1, 1]);
    // A holiday is no business day; Sunday's delivery counts as Saturday's.
    const calendar = { ...mondayToSaturday, holidays: new Set(['2026-06-06']) };
    const sunday = local('2026-06-07T11:00:00', '+02:00');
    expect(learn(undefined, { ...transit(local('2026-06-05T20:00:00', '+02:00'), sunday), calendar }).days[0]).toBe(1);
  });

  test('is bounded: a parcel that was found after years is in the last bucket', () => {
    const found = learn(undefined, transit(local('2020-01-01T00:00:00'), local('2026-01-01T00:00:00')));
    expect(found.days[maxDays]).toBe(1);
    expect(found.days).toHaveLength(maxDays + 1);
  });

  test('no order matters, and months may be added', () => {
    const sample = fc.record({ from: fc.nat(5_000), hours: fc.nat(400) }).map(({ from, hours }) => {
      const startedAt = local('2026-01-01T00:00:00') + from * 3_600_000;
      return transit(startedAt, startedAt + hours * 3_600_000);
    });
    fc.assert(
      fc.property(fc.array(sample, { minLength: 2, maxLength: 20 }), fc.nat(), (samples, cut) => {
        const whole = learnAll(samples);
        expect(learnAll(samples.toReversed())).toEqual(whole);
        const at = 1 + (cut % (samples.length - 1));
        expect(addSketches(learnAll(samples.slice(0, at))!, learnAll(samples.slice(at))!)).toEqual(whole);
      }),
      { numRuns: 50 },
    );
  });
});

describe('an estimate', () => {
  test('is the carrier’s while that is not over', () => {
    const now = local('2026-03-09T12:00:00');
    const carrierEta = local('2026-03-11T14:00:00');
    expect(estimate({ ...base, carrierEta, startedAt: now, now })).toMatchObject({
      source: 'CARRIER',
      likely: carrierEta,
      late: false,
    });
    const late = estimate({ ...base, carrierEta, startedAt: now, now: local('2026-03-11T14:00:01') });
    expect(late).toMatchObject({ source: 'LEARNT', late: true });
  });

  test('is learnt: quantiles of days and hours, in the time of the place', () => {
    // Friday evening: one business day is Saturday, two are Monday.
    const startedAt = local('2026-03-13T18:00:00');
    expect(estimate({ ...base, startedAt, now: startedAt })).toEqual({
      source: 'LEARNT',
      earliest: local('2026-03-14T10:00:00'),
      likely: local('2026-03-14T12:30:00'),
      latest: local('2026-03-16T16:00:00'),
      sureness: 'MEDIUM',
      samples: 100,
      spreadDays: 1,
      late: false,
    });
  });

  test('knows what has not happened yet, and is never in the past', () => {
    const startedAt = local('2026-03-09T18:00:00');
    // Two business days later in the evening: only those that took three days are left.
    const evening = estimate({ ...base, startedAt, now: local('2026-03-11T20:00:00') });
    expect(evening).toMatchObject({ samples: 10, sureness: 'LOW', likely: local('2026-03-12T12:30:00') });
    // In the morning of that day the others are possible, too.
    expect(estimate({ ...base, startedAt, now: local('2026-03-11T09:00:00') })).toMatchObject({ samples: 50 });
    expect(estimate({ ...base, startedAt, now: local('2026-03-13T09:00:00') })).toBeUndefined();
    fc.assert(
      fc.property(fc.nat(300), fc.nat(300), (from, after) => {
        const started = startedAt + from * 3_600_000;
        const now = started + after * 3_600_000;
        const found = estimate({ ...base, startedAt: started, now });
        if (!found) return;
        expect(found.earliest).toBeGreaterThanOrEqual(now);
        expect(found.likely).toBeGreaterThanOrEqual(found.earliest);
        expect(found.latest).toBeGreaterThanOrEqual(found.likely);
      }),
    );
  });

  test('comes from the narrowest lane of which enough is known', () => {
    const startedAt = local('2026-03-09T18:00:00');
    const few = learn(undefined, transit(startedAt, startedAt + 20 * 86_400_000));
    const found = estimate({ ...base, sketches: [few, undefined, usual, few], startedAt, now: startedAt });
    expect(found?.samples).toBe(100);
    expect(estimate({ ...base, sketches: [few], startedAt, now: startedAt })).toMatchObject({
      samples: 1,
      sureness: 'LOW',
    });
    expect(estimate({ ...base, sketches: [], startedAt, now: startedAt })).toBeUndefined();
    expect(estimate({ ...base, now: startedAt })).toBeUndefined();
    expect(sketchKeys({ carrier: 'dhl', service: 'express', from: 'DE', to: 'US' })).toEqual([
      '["service","dhl","DE","US","express"]',
      '["lane","dhl","DE","US"]',
      '["destination","dhl","US"]',
      '["carrier","dhl"]',
    ]);
  });

  test('are those of what is known of the lane', () => {
    expect(sketchKeys({ carrier: 'dhl', from: 'DE', to: 'US' })).toHaveLength(3);
    expect(sketchKeys({ carrier: 'dhl', to: 'US' })).toEqual(['["destination","dhl","US"]', '["carrier","dhl"]']);
    expect(sketchKeys({ carrier: 'dhl', from: 'DE' })).toEqual(['["carrier","dhl"]']);
  });
});

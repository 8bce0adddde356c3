import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { scenarios, tracesOf } from '../testing/scenarios.ts';
import { hour, start, traceAt } from '../testing/traces.ts';
import { clockToleranceMs, judge, maxRecent } from './parcel.ts';
import type { ParcelState } from './parcel-state.ts';
import { subStatuses } from './sub-statuses.ts';
import type { Status, Trace } from './trace.ts';

const short = ({ status, subStatus, leg }: ParcelState) =>
  status ? `${leg === 'RETURN' ? '<' : ''}${status}${subStatus ? `/${subStatus}` : ''}` : '-';

describe('what is true of a parcel', () => {
  test('the scenarios are 60 or more, each of its own', () => {
    expect(new Set(scenarios.map(({ steps }) => steps)).size).toBe(scenarios.length);
    expect(scenarios.length).toBeGreaterThanOrEqual(60);
  });

  test.each(scenarios)('$name', (scenario) => {
    const traces = tracesOf(scenario);
    expect(short(judge(undefined, traces))).toBe(scenario.outcome);
    // One by one, the last first, each twice.
    let state: ParcelState | undefined;
    for (const trace of [...traces, ...traces].reverse()) state = judge(state, [trace]);
    expect(state).toEqual(judge(undefined, traces));
  });

  test('times, places, and what the carrier expects', () => {
    const place = { name: 'Köln', country: 'DE' };
    const eta = new Date(start + 30 * hour);
    const state = judge(undefined, [
      traceAt(0, 'PRE_TRANSIT', { place: { country: 'IT' } }),
      traceAt(4, 'IN_TRANSIT', { place, eta: new Date(start + 20 * hour) }),
      traceAt(6, undefined, { eta }),
      traceAt(34, 'DELIVERED', { photoUrl: 'https://carrier.example/p.jpg', signedBy: 'Weber' }),
      traceAt(36, 'DELIVERED'),
      traceAt(12, 'FAILED_ATTEMPT'),
      traceAt(10, 'FAILED_ATTEMPT'),
    ]);
    expect(state).toMatchObject({
      status: 'DELIVERED',
      ended: true,
      deliveredAt: start + 34 * hour,
      startedAt: start + 4 * hour,
      latestAt: start + 36 * hour,
      eta: eta.getTime(),
      place,
      photoUrl: 'https://carrier.example/p.jpg',
      signedBy: 'Weber',
    });
    expect(state.facts.attempts).toEqual([start + 12 * hour, start + 10 * hour]);
    expect(state.recent.map(({ at }) => (at - start) / hour)).toEqual([36, 34, 12, 10, 6, 4, 0]);
  });

  test('a time in the future is not believed', () => {
    const wrong = traceAt(40, 'IN_TRANSIT', { receivedAt: new Date(start + 32 * hour) });
    const state = judge(undefined, [wrong, traceAt(34, 'OUT_FOR_DELIVERY')]);
    expect(short(state)).toBe('OUT_FOR_DELIVERY');
    expect(state.recent[1]).toMatchObject({ at: start + 32 * hour + clockToleranceMs, reportedAt: start + 40 * hour });
  });

  test('50 traces are kept, the latest, and the facts of the others count', () => {
    const traces = Array.from({ length: 200 }, (_, n) => traceAt(n + 10, 'IN_TRANSIT'));
    const state = judge(undefined, [...traces, traceAt(5, 'DELIVERED')]);
    expect(state.recent).toHaveLength(maxRecent);
    expect(state.recent.at(-1)!.at).toBe(start + 160 * hour);
    expect(short(state)).toBe('DELIVERED');
    expect(JSON.stringify(judge(undefined, traces)).length).toBeLessThan(20_000);
  });

  test('no state without a trace', () => {
    expect(() => judge(undefined, [])).toThrow(RangeError);
  });
});

const statuses = Object.keys(subStatuses) as Status[];
/** Few times, ids and words, so that traces meet. */
const anyTrace: fc.Arbitrary<Trace> = fc
  .record({
    hours: fc.nat(12),
    received: fc.nat(12),
    status: fc.option(fc.constantFrom(...statuses), { nil: undefined }),
    sub: fc.nat(9),
    eventId: fc.option(fc.constantFrom('e1', 'e2', 'e3'), { nil: undefined }),
    detail: fc.option(fc.constantFrom('a', 'b'), { nil: undefined }),
    country: fc.option(fc.constantFrom('DE', 'FR'), { nil: undefined }),
    eta: fc.option(fc.nat(3), { nil: undefined }),
    signedBy: fc.option(fc.constantFrom('Weber', 'Li'), { nil: undefined }),
  })
  .map(({ hours, received, status, sub, eventId, detail, country, eta, signedBy }) => {
    const subStatus = status && subStatuses[status][sub];
    return traceAt(hours, status, {
      receivedAt: new Date(start + received * hour),
      ...(subStatus && { subStatus }),
      ...(eventId && { eventId }),
      ...(detail && { detail }),
      ...(country && { place: { country } }),
      ...(eta !== undefined && { eta: new Date(start + eta * hour) }),
      ...(signedBy && { signedBy }),
    });
  });

/** The traces in another order, some of them several times, in batches; between batches the state is stored. */
const scrambled = fc.array(anyTrace, { minLength: 1, maxLength: 90, size: 'max' }).chain((traces) =>
  fc.record({
    traces: fc.constant(traces),
    again: fc.array(fc.nat(traces.length - 1), { maxLength: 60 }),
    order: fc.infiniteStream(fc.nat()),
    batches: fc.infiniteStream(fc.integer({ min: 1, max: 30 })),
  }),
);

/** As a store gives it back that sorts the fields. */
function stored(state: ParcelState): ParcelState {
  const sorted = (_: string, value: unknown) =>
    value && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? 1 : -1)))
      : value;
  return JSON.parse(JSON.stringify(state, sorted));
}

test('any order, repetition and grouping of the same traces gives the same state', () => {
  fc.assert(
    fc.property(scrambled, ({ traces, again, order, batches }) => {
      const expected = judge(undefined, traces);
      const keyed = [...traces, ...again.map((n) => traces[n]!)].map((trace) => ({ trace, key: order.next().value }));
      const shuffled = keyed.sort((a, b) => a.key - b.key).map(({ trace }) => trace);
      let state: ParcelState | undefined;
      while (shuffled.length > 0) {
        const batch = shuffled.splice(0, batches.next().value);
        state = judge(state && stored(state), batch);
      }
      expect(state).toEqual(expected);
      expect(expected.recent.length).toBeLessThanOrEqual(maxRecent);
    }),
    { numRuns: 300 },
  );
});

test('when a trace was received does not matter, unless its time was in the future', () => {
  fc.assert(
    fc.property(fc.array(anyTrace, { minLength: 1, maxLength: 30 }), fc.nat(100), (traces, days) => {
      const honest = traces.map((trace) => ({ ...trace, receivedAt: trace.happenedAt }));
      const later = honest.map((trace) => ({
        ...trace,
        receivedAt: new Date(trace.receivedAt.getTime() + days * 86_400_000),
      }));
      expect(judge(judge(undefined, honest), later)).toEqual(judge(undefined, honest));
    }),
    { numRuns: 100 },
  );
});

test('a delivery lasts until it is voided or a return begins', () => {
  const harmless = anyTrace.filter(
    ({ status, subStatus }) => status !== 'RETURNING' && status !== 'RETURNED' && subStatus !== 'END_VOIDED',
  );
  fc.assert(
    fc.property(fc.array(harmless, { maxLength: 40 }), fc.nat(12), (traces, at) => {
      const state = judge(undefined, [...traces, traceAt(at, 'DELIVERED')]);
      expect(state).toMatchObject({ status: 'DELIVERED', ended: true, leg: 'OUTWARD' });
    }),
    { numRuns: 200 },
  );
});

import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { scenarios, tracesOf } from '../testing/scenarios.ts';
import { hour, traceAt } from '../testing/traces.ts';
import { judge } from './parcel.ts';
import type { ParcelState } from './parcel-state.ts';
import { readState, stateText } from './state-text.ts';

test.each(scenarios)('reads what it has written: $name', (scenario) => {
  const state = judge(undefined, tracesOf(scenario));
  expect(readState(stateText(state))).toEqual(state);
});

test('a trace stands once, as long as it is among the latest', () => {
  const place = { name: 'Lyon', country: 'FR' };
  const few = judge(undefined, [traceAt(0, 'IN_TRANSIT', { place, detail: 'first' })]);
  expect(stateText(few).split('first')).toHaveLength(2);
  expect(JSON.parse(stateText(few)).facts).toMatchObject({ latest: { IN_TRANSIT: 0 }, place: 0 });
  const many = judge(
    few,
    Array.from({ length: 60 }, (_, n) => traceAt(1 + n, 'OUT_FOR_DELIVERY', { detail: `${n}` })),
  );
  expect(JSON.parse(stateText(many)).facts.latest).toMatchObject({
    IN_TRANSIT: { detail: 'first' },
    OUT_FOR_DELIVERY: 0,
  });
  expect(readState(stateText(many))).toEqual(many);
});

test('reads a state in which traces stand twice', () => {
  const state = judge(undefined, [traceAt(0, 'IN_TRANSIT'), traceAt(3, 'DELIVERED')]);
  expect(readState(JSON.stringify(state))).toEqual(state);
});

test('what is stored depends on the traces alone, but for the order of fields', () => {
  const trace = fc.record({
    at: fc.integer({ min: 0, max: 100 }),
    status: fc.constantFrom('IN_TRANSIT', 'FAILED_ATTEMPT', 'DELIVERED', undefined),
    detail: fc.constantFrom('a', 'b'),
    eta: fc.option(fc.integer({ min: 0, max: 50 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(trace, { minLength: 1, maxLength: 80 }), fc.nat(), (all, split) => {
      const traces = all.map(({ at, status, detail, eta }) =>
        traceAt(at, status, { detail, ...(eta !== undefined && { eta: new Date(eta * hour) }) }),
      );
      const cut = split % traces.length;
      let state: ParcelState = judge(undefined, traces.slice(cut));
      for (const one of [...traces.slice(0, cut), ...traces.slice(cut / 2)].reverse())
        state = judge(readState(stateText(state)), [one]);
      expect(JSON.parse(stateText(state))).toEqual(JSON.parse(stateText(judge(undefined, traces))));
    }),
  );
});

import { describe, expect, test } from '@jest/globals';
import { hour, start, traceAt } from '../testing/traces.ts';
import { judge } from './parcel.ts';
import { hasTransit, laneOf, transitOf, zoneOf } from './transit.ts';

const at = (country: string) => ({ place: { country } });
const scans = [
  traceAt(0, 'PRE_TRANSIT', at('IT')),
  traceAt(4, 'IN_TRANSIT', at('IT')),
  traceAt(30, 'IN_TRANSIT', at('DE')),
];
const delivery = traceAt(52, 'DELIVERED', at('US'));
const way = (traces = [...scans, delivery], destination?: string) => ({
  ...{ carrier: 'DHL Express', destination },
  state: judge(undefined, traces),
});

describe('the way of a parcel', () => {
  test('is known once it was moved and delivered, however these came', () => {
    expect(hasTransit(way(scans).state)).toBe(false);
    expect(hasTransit(way().state)).toBe(true);
    // A delivery that comes before all scans says nothing of the time on the way.
    expect(hasTransit(way([delivery]).state)).toBe(false);
    expect(hasTransit(judge(way([delivery]).state, scans))).toBe(true);
    // One that is back at its sender was not delivered to its recipient.
    expect(hasTransit(way([...scans, traceAt(40, 'RETURNING'), delivery]).state)).toBe(false);
  });

  test('leads from the first country to that of the shipment, or else to where it was delivered', () => {
    expect(laneOf(way())).toEqual({ carrier: 'dhl-express', from: 'IT', to: 'US' });
    expect(laneOf(way(scans))).toEqual({ carrier: 'dhl-express', from: 'IT', to: undefined });
    expect(laneOf(way(scans, 'FR'))).toEqual({ carrier: 'dhl-express', from: 'IT', to: 'FR' });
  });

  test('ends in the zone of that country', () => {
    expect(zoneOf(way(scans, 'FR'), start)).toBe('Europe/Paris');
    expect(zoneOf(way(scans), start)).toBe('Europe/Berlin');
    expect(zoneOf(way([traceAt(0, 'IN_TRANSIT')]), start)).toBe('+00:00');
    expect(transitOf(way())).toMatchObject({
      ...{ startedAt: start + 4 * hour, deliveredAt: start + 52 * hour, zone: 'America/Chicago' },
    });
  });
});

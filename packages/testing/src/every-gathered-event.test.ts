/** That the check of every-gathered-event.ts finds what is broken on purpose, and nothing in what is right. */
import { type EventOf, shipment } from '@caudal/contract/entities.ts';
import { type Gather, gather, type MultiStreamProjection } from '@caudal/projections/multi-stream/types.ts';
import { ignored } from '@caudal/projections/types.ts';
import { expect, test } from '@jest/globals';
import { gatheringFaults } from './every-gathered-event.ts';

type ShipmentEvent = EventOf<typeof shipment>;
interface Counts {
  created: number;
}
interface Facts {
  day: string;
}
type Functions = Omit<Gather<Counts, ShipmentEvent, Facts>, 'entity'>;

const json = { toJSON: (value: unknown) => value, fromJSON: (value: unknown) => value as never };
const right: Functions = {
  facts: { codec: json, remember: ({ event, facts }) => (event.$case === 'created' ? { day: 'today' } : facts) },
  views: ({ event, facts }) => (event.$case === 'created' ? ['today'] : facts ? [facts.day] : []),
  evolve: (view = { created: 0 }, { event }) => (event.$case === 'created' ? { created: view.created + 1 } : ignored),
};

function faultsWith(broken: Partial<Functions>): string[] {
  const projection: MultiStreamProjection<Counts> = {
    name: 'tried',
    version: 1,
    codec: json,
    gathers: [gather<Counts, ShipmentEvent, Facts>(shipment, { ...right, ...broken })],
    keys: {},
    indexes: [],
  };
  return gatheringFaults(projection);
}

test('nothing is found in a projection that is right', () => {
  expect(faultsWith({})).toEqual([]);
});

test.each<[string, Partial<Functions>, RegExp]>([
  [
    'a case that is forgotten',
    {
      evolve: (view, seen, id) =>
        seen.event.$case === 'created' ? right.evolve(view, seen, id) : (undefined as never),
    },
    /dispatched leaves neither a view nor a word/,
  ],
  [
    'views that fail without facts',
    { views: ({ event, facts }) => (event.$case === 'created' ? ['today'] : [facts!.day]) },
    /dispatched fails: TypeError/,
  ],
  [
    'an unknown event that counts',
    { evolve: (view = { created: 0 }) => ({ created: view.created + 1 }) },
    /changes a view, although it is unknown here/,
  ],
  [
    'an unknown event that ends the facts',
    { facts: { codec: json, remember: ({ event }) => (event.$case === 'created' ? { day: 'today' } : undefined) } },
    /changes facts, although it is unknown here/,
  ],
])('%s is found', (_, broken, fault) => {
  expect(faultsWith(broken)).toContainEqual(expect.stringMatching(fault));
});

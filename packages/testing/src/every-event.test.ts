/** Checks every-event.ts: it finds faults that are made on purpose, and none in correct code. */
import type { Decider } from '@caudal/aggregates/types.ts';
import { type EventOf, entities, shipment, wallet } from '@caudal/contract/entities.ts';
import { NewerEvent } from '@caudal/contract/entity.ts';
import type { EventHandler } from '@caudal/messaging/types.ts';
import {
  deleted,
  type Evolved,
  ignored,
  ignoreUnknown,
  on,
  type ProjectedEvent,
  type Projection,
} from '@caudal/projections/types.ts';
import { describe, expect, test } from '@jest/globals';
import { deciderFaults, handlerFaults, projectionFaults } from './every-event.ts';

type ShipmentEvent = EventOf<typeof shipment>;
interface View {
  status: string;
}

function projection(
  evolve: (view: View | undefined, event: ProjectedEvent<ShipmentEvent>) => Evolved<View>,
  more: Partial<Projection<View>> = {},
): Projection<View> {
  return {
    name: 'tried',
    version: 1,
    codec: { toJSON: (view) => view, fromJSON: (json) => json as View },
    follows: [on<View, ShipmentEvent>(shipment, { view: ({ id }) => id, evolve })],
    keys: {},
    indexes: [],
    ...more,
  };
}

const right = (_: View | undefined, { event }: ProjectedEvent<ShipmentEvent>): Evolved<View> => {
  switch (event.$case) {
    case 'created':
    case 'dispatched':
    case 'delivered':
    case 'split':
    case 'trackingCorrected':
    case 'deliveryFailed':
    case 'lost':
    case 'returned':
      return { status: event.$case };
    case 'cancelled':
      return deleted;
    default:
      return ignoreUnknown(event);
  }
};

describe('projectionFaults', () => {
  test('finds nothing in a projection that handles all events and ignores unknown ones', () => {
    expect(projectionFaults(projection(right))).toEqual([]);
  });

  test('finds a forgotten case, with a view and without one', () => {
    const forgetful = projection((view, event) =>
      event.event.$case === 'dispatched' ? (undefined as never) : right(view, event),
    );
    const faults = projectionFaults(forgetful);
    expect(faults).toHaveLength(2);
    for (const fault of faults) expect(fault).toContain('evolve gives undefined for "dispatched"');
  });

  test('finds a case that throws, in evolve or in the codec', () => {
    const broken = projection((view, event) => {
      if (event.event.$case === 'delivered' && view) throw new Error('no');
      return right(view, event);
    });
    expect(projectionFaults(broken)).toEqual(['tried: shipping.shipment delivered on a view fails: Error: no']);
    const unwritable = projection(right, {
      keys: { status: { type: 'keyword', of: ({ status }) => status.repeat(status === 'delivered' ? -1 : 1) } },
    });
    expect(projectionFaults(unwritable)[0]).toContain('shipping.shipment delivered without a view fails: RangeError');
  });

  test('finds that an unknown event changes a view, begins one, deletes one, or fails', () => {
    const answers = [
      [() => ({ status: 'unknown' }), 2],
      [(view: View | undefined) => view ?? { status: '' }, 1],
      [() => deleted, 1],
      [() => undefined, 2],
    ] as const;
    for (const [answer, count] of answers) {
      const faults = projectionFaults(
        projection((view, event) => {
          const known = right(view, event);
          return known === ignored ? (answer(view) as Evolved<View>) : known;
        }),
      );
      expect(faults).toHaveLength(count);
      for (const fault of faults) expect(fault).toContain('shipping.shipment exploded');
    }
  });

  test('finds faults of a history', () => {
    const history = (answer: Evolved<View> | undefined) =>
      projection((_, { event }) => (event.$case === 'created' ? { status: '' } : (answer as Evolved<View>)), {
        kind: 'one-per-event',
      });
    expect(projectionFaults(history(ignored))).toEqual([]);
    expect(projectionFaults(history(undefined)).length).toBeGreaterThan(3);
    expect(projectionFaults(history(deleted))[0]).toContain('a history keeps its entries');
    // It makes an entry of an unknown event.
    expect(projectionFaults(history({ status: 'any' }))).toEqual([
      expect.stringContaining('exploded without a view changes it'),
    ]);
  });
});

test('deciderFaults finds an event that leaves no state, or fails in one', () => {
  const decider: Decider<{ frozen: boolean }, EventOf<typeof wallet>> = {
    entity: wallet,
    initial: { frozen: false },
    evolve(state, event) {
      if (event.$case === 'credited') return undefined as never;
      if (event.$case === 'debited' && state.frozen) throw new Error('it is frozen');
      return { frozen: event.$case === 'frozen' };
    },
  };
  expect(deciderFaults(decider).sort()).toEqual([
    'payments.wallet: credited leaves no state',
    'payments.wallet: debited fails: Error: it is frozen',
  ]);
  expect(deciderFaults({ ...decider, evolve: (state) => state })).toEqual([]);
});

describe('handlerFaults', () => {
  /** A handler that records up to which event it has seen each stream, of those that it can decode. */
  function handler(handle?: (type: string) => void, decode = shipment.decode): EventHandler {
    const seen = new Map<string, number>();
    return {
      name: 'tried.process',
      entities: [shipment.name],
      async handle(events) {
        const failed = new Set<string>();
        return events.flatMap((event) => {
          if (failed.has(event.stream)) return [];
          try {
            decode(event);
            handle?.(event.type);
            seen.set(event.stream, event.version);
            return [];
          } catch (error) {
            failed.add(event.stream);
            return [{ kind: 'failed' as const, event, error }];
          }
        });
      },
      seen: async (heads) => heads.map(({ stream }) => seen.get(stream) ?? 0),
    };
  }
  const faultsOf = (tried: EventHandler) => handlerFaults({ handler: tried, entities, append: async () => {} });

  test('finds nothing in a handler that handles all events and refuses the unknown one', async () => {
    expect(await faultsOf(handler())).toEqual([]);
  });

  test('finds an event that fails, and those that stay unseen because of it', async () => {
    const faults = await faultsOf(
      handler((type) => {
        if (type.includes('delivered')) throw new Error('no');
      }),
    );
    expect(faults).toContain('tried.process: shipping.shipment.delivered.v1 fails: Error: no');
    expect(faults).toContain('tried.process: shipping.shipment.cancelled.v1 stays unseen');
  });

  test('finds a handler that skips an unknown event, or counts it as seen', async () => {
    const careless = (event: Parameters<typeof shipment.decode>[0]) => {
      try {
        return shipment.decode(event);
      } catch (error) {
        if (error instanceof NewerEvent)
          return { $case: 'delivered' as const, value: { orderId: '', shipmentId: '', partial: false } };
        throw error;
      }
    };
    expect(await faultsOf(handler(undefined, careless))).toEqual([
      'tried.process: skips shipping.shipment.exploded.v1, which it does not know',
    ]);
  });
});

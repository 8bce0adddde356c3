import { Shipment } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { ParcelStatus } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { notFound, refused, unavailable } from '@caudal/kernel/errors.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parcelId } from '../domain/parcel-id.ts';
import { changeStatus, type ParcelEvent, type ParcelStream, parcelDecider } from '../domain/parcel-stream.ts';
import { openWorld, type World } from '../testing/world.ts';
import { parcelSaga } from './parcels.ts';

const { PARCEL_STATUS_DELIVERED: DELIVERED, PARCEL_STATUS_RETURNED: RETURNED } = ParcelStatus;
const at = new Date('2026-10-01T00:00:00Z');

describeWith(['postgres'], 'the saga of a parcel', () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld();
  }, 60_000);
  afterAll(() => world?.drop());

  /** Shipping as the saga sees it, and a parcel's stream that it is run on until it rests. */
  function open(number: string) {
    const shipments = new Map<string, Shipment>();
    const calls: [string, string][] = [];
    let answer: () => void = () => {};
    const command = (name: string) => async (request: { shipmentId: string }) => {
      calls.push([name, request.shipmentId]);
      answer();
      return Shipment.fromPartial({});
    };
    const saga = parcelSaga({
      database: world.database,
      asked: new Set(['acme']),
      shipping: { deliverShipment: command('deliver'), markShipmentReturned: command('return') } as never,
      shipments: {
        async getShipment({ shipmentId }: { shipmentId: string }) {
          const found = shipments.get(shipmentId);
          if (!found) throw notFound('shipment', shipmentId);
          return found;
        },
      } as never,
    });
    const sagaId = parcelId('ACME', number);
    let state: ParcelStream = parcelDecider.initial;
    const add = (events: ParcelEvent[]) => {
      for (const event of events) state = parcelDecider.evolve(state, event, at);
      return events.map(({ $case }) => $case);
    };
    return {
      calls,
      shipments,
      refuseWith: (error: Error | undefined) => {
        answer = () => {
          if (error) throw error;
        };
      },
      status: (status: ParcelStatus, revision: bigint) =>
        add(
          changeStatus(state, {
            ...{ carrier: 'ACME', trackingNumber: number, status, revision },
            ...{ subStatus: '', statusTime: at },
          }),
        ),
      /** The event that a shipment has left with this number; undefined if it concerns another parcel. */
      dispatched(shipmentId: string, version: number, trackingNumber = number) {
        shipments.set(shipmentId, Shipment.fromPartial({ shipmentId, carrier: 'acme', trackingNumber }));
        const value = { orderId: 'o1', carrier: 'acme', trackingNumber, shipmentId, customerId: 'ada' };
        const event = { $case: 'dispatched' as const, value: { ...value, later: false, restShipmentId: '' } };
        const observed = { stream: 'shipping.shipment/o1', id: 'o1', version, at, event };
        const [ofShipping] = saga.observes;
        if (ofShipping!.saga(observed) !== sagaId) return undefined;
        return add(ofShipping!.reactions.dispatched!(state, event, observed));
      },
      async rest() {
        const done: string[] = [];
        for (let step = saga.next(state); step; step = saga.next(state)) {
          const origin = { actor: 'service:tracking', causationId: '', correlationId: '', traceparent: '' };
          const context = { now: at, sagaId, origin, signal: new AbortController().signal };
          done.push(...add(await saga.run(step, state, context)));
        }
        return done;
      },
      async row() {
        const rows = await world.database.query<{ shipment: string | null; customer: string | null }>({
          text: 'SELECT shipment, customer FROM parcels WHERE parcel = $1',
          values: [sagaId],
        });
        return rows[0];
      },
    };
  }

  test('a shipment is delivered once, whether its traces or its number were known first', async () => {
    const late = open('k1');
    late.status(DELIVERED, 3n);
    expect(await late.rest()).toEqual([]);
    expect(late.dispatched('o1', 2)).toEqual(['attached']);
    expect(await late.rest()).toEqual(['shipmentLinked', 'shipmentInformed']);
    expect(late.calls).toEqual([['deliver', 'o1']]);
    expect(await late.row()).toEqual({ shipment: 'o1', customer: 'ada' });
    // Repeats change nothing.
    expect(late.dispatched('o1', 2)).toEqual([]);
    expect(late.status(DELIVERED, 3n)).toEqual([]);
    expect(await late.rest()).toEqual([]);

    const early = open('k2');
    early.dispatched('o2', 2);
    await early.rest();
    early.status(DELIVERED, 1n);
    expect(await early.rest()).toEqual(['shipmentInformed']);
    early.status(RETURNED, 2n);
    expect(await early.rest()).toEqual(['shipmentInformed']);
    expect(early.calls).toEqual([
      ['deliver', 'o2'],
      ['return', 'o2'],
    ]);
  });

  test('a number that was corrected meanwhile is not the shipment’s any more', async () => {
    const former = open('k3');
    former.dispatched('o3', 2);
    await former.rest();
    expect(await former.row()).toEqual({ shipment: 'o3', customer: 'ada' });
    const next = open('k4');
    expect(former.dispatched('o3', 3, 'k4')).toBeUndefined();
    next.dispatched('o3', 3);
    await next.rest();
    expect(await former.row()).toEqual({ shipment: null, customer: null });
    expect(await next.row()).toEqual({ shipment: 'o3', customer: 'ada' });
    // The former parcel belongs to someone else, and is delivered.
    former.status(DELIVERED, 1n);
    expect(await former.rest()).toEqual(['detached']);
    expect(former.calls).toEqual([]);
  });

  test('labels that were swapped are corrected one after the other, and each shipment gets its own parcel', async () => {
    const parcel = open('k6');
    parcel.dispatched('o6', 2);
    await parcel.rest();
    // The other shipment comes with the number while the first still has it, and is told that it is not free.
    parcel.dispatched('o7', 3);
    expect(await parcel.rest()).toEqual(['shipmentLinked']);
    expect(await parcel.row()).toEqual({ shipment: 'o6', customer: 'ada' });
    expect(parcel.dispatched('o7', 3)).toEqual([]);
    expect(parcel.dispatched('o6', 3, 'k8')).toBeUndefined();
    // The next that is heard of the parcel shows that it is free by now.
    parcel.status(DELIVERED, 1n);
    expect(await parcel.rest()).toEqual(['detached', 'shipmentLinked', 'shipmentInformed']);
    expect(await parcel.row()).toEqual({ shipment: 'o7', customer: 'ada' });
    expect(parcel.calls).toEqual([['deliver', 'o7']]);
  });

  test('a number that is used again belongs to the shipment that has it', async () => {
    const parcel = open('k9');
    parcel.dispatched('o9', 2);
    await parcel.rest();
    expect(parcel.dispatched('o9', 3, 'k10')).toBeUndefined();
    parcel.dispatched('o10', 2);
    expect(await parcel.rest()).toEqual(['detached', 'shipmentLinked']);
    expect(await parcel.row()).toEqual({ shipment: 'o10', customer: 'ada' });
  });

  test('what shipping refuses is noted, and what can’t be reached is repeated', async () => {
    const parcel = open('k5');
    parcel.dispatched('o5', 2);
    await parcel.rest();
    parcel.status(DELIVERED, 1n);
    parcel.refuseWith(unavailable('shipping'));
    await expect(parcel.rest()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    parcel.refuseWith(refused('SHIPMENT_RETURNED', 'It is back.'));
    expect(await parcel.rest()).toEqual(['shipmentInformed']);
    expect(parcel.calls).toHaveLength(2);
  });
});

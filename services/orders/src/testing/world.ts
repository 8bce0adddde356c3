/**
 * Small models of the contexts around an order, for tests of the saga. They keep the rules of the real contexts
 * (commands repeat safely; an undone command stays undone), and fail in the same ways. One seed decides everything.
 */
import { type EventOf, payment, shipment } from '@caudal/contract/entities.ts';
import { PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { invalidField, refused, unavailable } from '@caudal/kernel/errors.ts';
import type { FulfilmentDependencies } from '../sagas/fulfilment.ts';

type Foreign = { stream: string; event: EventOf<typeof payment> | EventOf<typeof shipment> };

/** What is left of a line of a reservation. */
type LineState = 'open' | 'committed' | 'ended' | 'barred' | 'returned';

export interface World extends Pick<FulfilmentDependencies, 'inventory' | 'payments' | 'shipping'> {
  /** Lines of reservations. */
  lines: Map<string, { productId: string; quantity: bigint; state: LineState }>;
  /** Pieces that are promised, and that have left the stock, by product. */
  pieces(): { reserved: Record<string, bigint>; taken: Record<string, bigint> };
  payment: 'none' | 'requested' | 'succeeded' | 'failed' | 'undone';
  /** Of all parcels: dispatched once one has left, delivered once all have arrived that were not withdrawn. */
  shipment: 'none' | 'created' | 'dispatched' | 'delivered' | 'cancelled';
  /** The shipments of the order; the first has its id. */
  parcels: ('created' | 'dispatched' | 'delivered' | 'cancelled')[];
  /** One change from outside: a payment's outcome, an expiry, a dispatch or a delivery. */
  stir(): void;
  /** No more failures: everything that is open ends. */
  calm: boolean;
  /** Events of other contexts, oldest first. */
  published: Foreign[];
}

/** A line as a call about it sees it. */
interface Line {
  readonly state: LineState | undefined;
  set(state: LineState): void;
}

export interface Troubles {
  stockShort: boolean;
  paymentFails: boolean;
  /** The chance that open lines expire, at each change. */
  expiries: number;
  /** The chance that a process of version 0.2 runs a call about stock: an append a line, between which it may break off. */
  former: number;
  /** The chance that a call which breaks off between its lines is followed by an outage until all that is open has expired. */
  outages: number;
}

export function createWorld(random: () => number, troubles: Troubles): World {
  /** By request id: the content of the request, and the answer. */
  const done = new Map<string, { content: string; answer: unknown }>();
  let calls = 0;
  const world: World = {
    lines: new Map(),
    pieces() {
      const sums = { reserved: {} as Record<string, bigint>, taken: {} as Record<string, bigint> };
      for (const { productId, quantity, state } of world.lines.values()) {
        sums.reserved[productId] = (sums.reserved[productId] ?? 0n) + (state === 'open' ? quantity : 0n);
        sums.taken[productId] = (sums.taken[productId] ?? 0n) + (state === 'committed' ? quantity : 0n);
      }
      return sums;
    },
    payment: 'none',
    shipment: 'none',
    parcels: [],
    calm: false,
    published: [],
    stir,
    inventory: {
      reserveStock: (request) =>
        command(request, () => {
          const { reservationId } = request;
          onLines(
            request,
            ({ state, set }) => {
              if (state === 'open' || state === 'committed') return;
              if (state)
                throw refused(state === 'barred' ? 'RESERVATION_BARRED' : 'RESERVATION_ENDED', 'It has ended.');
              if (troubles.stockShort) throw refused('INSUFFICIENT_STOCK', 'Too few.');
              set('open');
            },
            ({ state, set }) => state === 'open' && set('ended'),
          );
          return reservation(reservationId);
        }),
      commitReservation: (request) =>
        command(request, () => {
          onLines(
            request,
            ({ state, set }) => {
              if (state !== 'open' && state !== 'committed') throw refused('RESERVATION_LOST', 'It has ended.');
              set('committed');
            },
            releaseLine,
          );
          return reservation(request.reservationId);
        }),
      releaseReservation: (request) =>
        command(request, () => {
          onLines(request, releaseLine);
          return reservation(request.reservationId);
        }),
    } as World['inventory'],
    payments: {
      createPayment: (request) =>
        command(request, () => {
          if (world.payment === 'undone') throw refused('PAYMENT_BARRED', 'It was undone.');
          if (world.payment === 'none') world.payment = 'requested';
          // Some are made at once, like those from wallets.
          if (world.payment === 'requested' && random() < 0.4) makePayment();
          return { status: paymentStatus(world.payment), reason: 'CARD_DECLINED' };
        }),
      undoPayment: (request) =>
        command(request, () => {
          if (world.payment === 'failed') return { status: PaymentStatus.PAYMENT_STATUS_FAILED };
          if (world.payment === 'none') {
            world.payment = 'undone';
            pays({ $case: 'barred', value: { orderId: 'o1' } });
            return { status: PaymentStatus.PAYMENT_STATUS_VOIDED };
          }
          const was = world.payment;
          if (was !== 'undone') {
            world.payment = 'undone';
            const value = { orderId: 'o1', amount: undefined };
            pays(was === 'succeeded' ? { $case: 'refunded', value } : { $case: 'voided', value });
          }
          const { PAYMENT_STATUS_VOIDED, PAYMENT_STATUS_VOIDING } = PaymentStatus;
          return { status: was === 'undone' ? PAYMENT_STATUS_VOIDED : PAYMENT_STATUS_VOIDING };
        }),
    } as World['payments'],
    shipping: {
      createShipment: (request) =>
        command(request, () => {
          if (world.shipment === 'cancelled') throw refused('SHIPMENT_CANCELLED', 'It was cancelled.');
          if (world.shipment === 'none') {
            world.shipment = 'created';
            world.parcels = ['created'];
          }
          return {};
        }),
      cancelShipment: (request) =>
        command(request, () => {
          if (world.shipment === 'dispatched' || world.shipment === 'delivered') {
            throw refused('SHIPMENT_DISPATCHED', 'It has left.');
          }
          if (world.shipment !== 'cancelled') ships({ $case: 'cancelled', value: cancellation([], false) });
          world.shipment = 'cancelled';
          world.parcels = world.parcels.map(() => 'cancelled' as const);
          return {};
        }),
    } as World['shipping'],
  };
  return world;

  /**
   * Models client, network and log. A command without an id gets one. The command or its answer may be lost; then it
   * may be sent again under its id. A repeat with the same content gets the first answer. Refusals are not recorded.
   */
  async function command<T>(request: { requestId: string }, run: () => unknown): Promise<T> {
    const id = request.requestId || `call-${++calls}`;
    const content = JSON.stringify(request, (_, value) => (typeof value === 'bigint' ? String(value) : value));
    for (;;) {
      if (isLost()) throw unavailable('the network');
      const known = done.get(id);
      if (known && known.content !== content)
        throw invalidField('request_id', 'belongs to another request', 'REQUEST_ID_REUSED');
      if (!known) done.set(id, { content, answer: run() });
      if (!isLost()) return done.get(id)!.answer as T;
      if (random() < 0.5) throw unavailable('the network');
    }
  }

  function releaseLine({ state, set }: Line): void {
    if (!state) set('barred');
    else if (state === 'open') set('ended');
    else if (state === 'committed') set('returned');
  }

  /**
   * A call about the lines of a reservation: by a process of today in one append, by one of 0.2 in an append a line. If one is
   * refused, `undo` is done with all; without it none is refused.
   */
  function onLines(
    { reservationId, lines }: { reservationId: string; lines: { productId: string; quantity: bigint }[] },
    run: (line: Line) => void,
    undo?: (line: Line) => void,
  ): void {
    const isFormer = !world.calm && random() < troubles.former;
    const all = lines.map(({ productId, quantity }): Line => {
      const key = `${reservationId}/${productId}`;
      return {
        get state() {
          return world.lines.get(key)?.state;
        },
        set: (state) => world.lines.set(key, { productId, quantity, state }),
      };
    });
    const breakOff = () => {
      if (!isFormer || random() > 0.2) return;
      if (random() < troubles.outages) expireOpen(1);
      throw unavailable('PostgreSQL');
    };
    const before = new Map(world.lines);
    let refusal: unknown;
    for (const line of all) {
      breakOff();
      try {
        run(line);
      } catch (error) {
        refusal = error;
      }
    }
    if (!refusal) return;
    if (!isFormer) world.lines = before;
    for (const line of all) {
      breakOff();
      undo?.(line);
    }
    throw refusal;
  }

  /** Each open line expires with this chance. */
  function expireOpen(chance: number): void {
    for (const line of world.lines.values()) if (line.state === 'open' && random() < chance) line.state = 'ended';
  }

  function isLost(): boolean {
    return !world.calm && random() < 0.15;
  }

  function stir(): void {
    if (!world.calm && random() < troubles.expiries) expireOpen(0.7);
    const what = random();
    if (what < 0.3 && world.payment === 'requested') {
      makePayment();
    } else if (what < 0.6 && world.parcels.includes('created')) {
      workInWarehouse(world.parcels.indexOf('created'));
    } else if (what < 0.85 && world.parcels.includes('dispatched')) {
      const index = world.parcels.indexOf('dispatched');
      world.parcels[index] = 'delivered';
      const partial = !endIfComplete();
      ships({ $case: 'delivered', value: { orderId: 'o1', shipmentId: parcelId(index), partial } });
    }
  }

  /** Maybe splits the parcel; then sends it, or withdraws it if another one has left. */
  function workInWarehouse(index: number): void {
    const about = { orderId: 'o1', customerId: 'c1', shipmentId: parcelId(index) };
    const later = world.parcels.some((parcel) => parcel === 'dispatched' || parcel === 'delivered');
    if (world.parcels.length < 3 && random() < 0.3) {
      const newShipmentId = parcelId(world.parcels.push('created') - 1);
      ships({ $case: 'split', value: { ...about, country: '', newShipmentId, lines: [], keptLines: [] } });
    }
    if (later && random() < 0.2) {
      world.parcels[index] = 'cancelled';
      ships({ $case: 'cancelled', value: cancellation([about.shipmentId], endIfComplete()) });
      return;
    }
    world.parcels[index] = 'dispatched';
    world.shipment = 'dispatched';
    const value = { ...about, carrier: 'c', trackingNumber: '1', later, restShipmentId: '' };
    ships({ $case: 'dispatched', value });
  }

  function endIfComplete(): boolean {
    const open = world.parcels.filter((parcel) => parcel !== 'cancelled');
    const isComplete = open.every((parcel) => parcel === 'delivered');
    if (isComplete) world.shipment = 'delivered';
    return isComplete;
  }

  function makePayment(): void {
    world.payment = troubles.paymentFails ? 'failed' : 'succeeded';
    const value = { orderId: 'o1', reason: 'CARD_DECLINED', gatewayReference: '' };
    pays({ $case: world.payment, value } as EventOf<typeof payment>);
  }

  function pays(event: EventOf<typeof payment>): void {
    world.published.push({ stream: payment.stream('o1'), event });
  }

  function ships(event: EventOf<typeof shipment>): void {
    world.published.push({ stream: shipment.stream('o1'), event });
  }
}

function parcelId(index: number): string {
  return index === 0 ? 'o1' : `o1~${index + 1}`;
}

function cancellation(shipmentIds: string[], completes: boolean) {
  return { orderId: 'o1', shipmentIds, completes, reason: '' };
}

function paymentStatus(state: World['payment']): PaymentStatus {
  if (state === 'succeeded') return PaymentStatus.PAYMENT_STATUS_SUCCEEDED;
  return state === 'failed' ? PaymentStatus.PAYMENT_STATUS_FAILED : PaymentStatus.PAYMENT_STATUS_REQUESTED;
}

function reservation(reservationId: string) {
  return { reservationId, lines: [], expireTime: undefined };
}

/**
 * Small models of the contexts around an order, for tests of the saga. They keep the rules of the real contexts
 * (commands repeat safely; an undone command stays undone), and fail in the same ways. One seed decides everything.
 */
import { type EventOf, payment, shipment } from '@caudal/contract/entities.ts';
import { PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { invalidField, refused, unavailable } from '@caudal/kernel/errors.ts';
import type { FulfilmentDependencies } from '../sagas/fulfilment.ts';

type Foreign = { stream: string; event: EventOf<typeof payment> | EventOf<typeof shipment> };

export interface World extends Pick<FulfilmentDependencies, 'inventory' | 'payments' | 'shipping'> {
  reservations: Map<string, 'open' | 'committed' | 'ended' | 'barred' | 'returned'>;
  /** Number of committed reservations. */
  committed(): number;
  payment: 'none' | 'requested' | 'succeeded' | 'failed' | 'undone';
  shipment: 'none' | 'created' | 'dispatched' | 'delivered' | 'cancelled';
  /** One change from outside: a payment's outcome, an expiry, a dispatch or a delivery. */
  stir(): void;
  /** No more failures: everything that is open ends. */
  calm: boolean;
  /** Events of other contexts, oldest first. */
  published: Foreign[];
}

export interface Troubles {
  stockShort: boolean;
  paymentFails: boolean;
  /** The chance that all open reservations expire, at each change. */
  expiries: number;
}

export function createWorld(random: () => number, troubles: Troubles): World {
  /** By request id: the content of the request, and the answer. */
  const done = new Map<string, { content: string; answer: unknown }>();
  let calls = 0;
  const world: World = {
    reservations: new Map(),
    committed: () => [...world.reservations.values()].filter((state) => state === 'committed').length,
    payment: 'none',
    shipment: 'none',
    calm: false,
    published: [],
    stir,
    inventory: {
      reserveStock: (request) =>
        command(request, () => {
          const { reservationId } = request;
          const state = world.reservations.get(reservationId);
          if (state === 'open' || state === 'committed') return reservation(reservationId);
          if (state) throw refused(state === 'barred' ? 'RESERVATION_BARRED' : 'RESERVATION_ENDED', 'It has ended.');
          if (troubles.stockShort) throw refused('INSUFFICIENT_STOCK', 'Too few.');
          world.reservations.set(reservationId, 'open');
          return reservation(reservationId);
        }),
      commitReservation: (request) =>
        command(request, () => {
          const state = world.reservations.get(request.reservationId);
          if (state !== 'open' && state !== 'committed') throw refused('RESERVATION_LOST', 'It has ended.');
          world.reservations.set(request.reservationId, 'committed');
          return reservation(request.reservationId);
        }),
      releaseReservation: (request) =>
        command(request, () => {
          const state = world.reservations.get(request.reservationId);
          if (!state) world.reservations.set(request.reservationId, 'barred');
          else if (state === 'open') world.reservations.set(request.reservationId, 'ended');
          else if (state === 'committed') world.reservations.set(request.reservationId, 'returned');
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
            pays({ $case: was === 'succeeded' ? 'refunded' : 'voided', value: { orderId: 'o1' } });
          }
          const { PAYMENT_STATUS_VOIDED, PAYMENT_STATUS_VOIDING } = PaymentStatus;
          return { status: was === 'undone' ? PAYMENT_STATUS_VOIDED : PAYMENT_STATUS_VOIDING };
        }),
    } as World['payments'],
    shipping: {
      createShipment: (request) =>
        command(request, () => {
          if (world.shipment === 'cancelled') throw refused('SHIPMENT_CANCELLED', 'It was cancelled.');
          if (world.shipment === 'none') world.shipment = 'created';
          return {};
        }),
      cancelShipment: (request) =>
        command(request, () => {
          if (world.shipment === 'dispatched' || world.shipment === 'delivered') {
            throw refused('SHIPMENT_DISPATCHED', 'It has left.');
          }
          world.shipment = 'cancelled';
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

  function isLost(): boolean {
    return !world.calm && random() < 0.15;
  }

  function stir(): void {
    if (!world.calm && random() < troubles.expiries) {
      for (const [id, state] of world.reservations) if (state === 'open') world.reservations.set(id, 'ended');
    }
    const what = random();
    if (what < 0.3 && world.payment === 'requested') {
      makePayment();
    } else if (what < 0.6 && world.shipment === 'created') {
      world.shipment = 'dispatched';
      ships({ $case: 'dispatched', value: { orderId: 'o1', carrier: 'c', trackingNumber: '1' } });
    } else if (what < 0.85 && world.shipment === 'dispatched') {
      world.shipment = 'delivered';
      ships({ $case: 'delivered', value: { orderId: 'o1' } });
    }
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

function paymentStatus(state: World['payment']): PaymentStatus {
  if (state === 'succeeded') return PaymentStatus.PAYMENT_STATUS_SUCCEEDED;
  return state === 'failed' ? PaymentStatus.PAYMENT_STATUS_FAILED : PaymentStatus.PAYMENT_STATUS_REQUESTED;
}

function reservation(reservationId: string) {
  return { reservationId, lines: [], expireTime: undefined };
}

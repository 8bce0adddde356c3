/**
 * The shipments of an order, which are one stream: the first has all lines of the order, and the warehouse may split others off
 * (split.ts). Each is created, dispatched and delivered; its delivery may fail, it may be lost or returned (transitions.ts). All are
 * cancelled before the first has left, or what is left in the warehouse afterwards. Cancelling before there is any bars a later
 * creation.
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { type EventOf, shipment } from '@caudal/contract/entities.ts';
import type { ShipmentCreated } from '@caudal/contract/gen/caudal/shipping/v1/events.ts';
import type { ShipmentLine } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { CaudalError, invalidField, notFound, refused } from '@caudal/kernel/errors.ts';
import { type Action, assertMay, hasLeft, type Status } from './transitions.ts';

export type ShipmentEvent = EventOf<typeof shipment>;

/** The most corrections of one shipment's carrier and tracking number. */
export const maxCorrections = 20;
/** The highest number of a failed attempt, and how much greater than the last one it may be. */
export const maxAttempts = 100;
const maxSkippedAttempts = 10;

/** One shipment of the order. */
export interface OneShipment {
  shipmentId: string;
  status: Status;
  /** What is in it now. */
  lines: readonly ShipmentLine[];
  carrier: string;
  trackingNumber: string;
  /** Carrier and number as it was dispatched, before corrections. */
  dispatchedWith: { carrier: string; trackingNumber: string } | undefined;
  corrections: number;
  failedAttempts: number;
  reason: string;
  /** The shipment that has what did not leave with this one. */
  restShipmentId: string;
  /** Whether pieces were moved from it to another shipment. */
  wasSplit: boolean;
  /** From which shipment it was split, with which lines; undefined for the first. */
  origin: { shipmentId: string; lines: readonly ShipmentLine[] } | undefined;
  createTime: Date;
  updateTime: Date;
  /** The version of the stream's last event that has changed this shipment. */
  version: number;
}

export interface ShipmentState {
  /** Content and destination of the order; undefined if nothing was created. */
  created: ShipmentCreated | undefined;
  isCancelled: boolean;
  shipments: readonly OneShipment[];
  /** The version of the stream. */
  version: number;
  updateTime: Date | undefined;
}

export const shipmentDecider: Decider<ShipmentState, ShipmentEvent> = {
  entity: shipment,
  initial: { created: undefined, isCancelled: false, shipments: [], version: 0, updateTime: undefined },
  owner: (state) => state.created?.customerId,
  bytes: ({ shipments }) => 500 + shipments.reduce((sum, { lines }) => sum + 500 + 2 * 100 * lines.length, 0),
  evolve(before, event, at) {
    const version = before.version + 1;
    const state: ShipmentState = { ...before, version, updateTime: at };
    const born = { status: 'created' as const, createTime: at, updateTime: at, version };
    const change = (shipmentId: string, changes: Partial<OneShipment>): ShipmentState => ({
      ...state,
      // Events of version 0.2 name no shipment: there was only the first.
      shipments: state.shipments.map((one, index) =>
        one.shipmentId === shipmentId || (shipmentId === '' && index === 0)
          ? { ...one, ...changes, updateTime: at, version }
          : one,
      ),
    });
    switch (event.$case) {
      case 'created': {
        const { shipmentId, lines } = event.value;
        return { ...state, created: event.value, shipments: [{ ...unsent, ...born, shipmentId, lines }] };
      }
      case 'split': {
        const { shipmentId, newShipmentId, lines, keptLines } = event.value;
        const { shipments } = change(shipmentId, { lines: keptLines, wasSplit: true });
        const origin = { shipmentId, lines };
        const split: OneShipment = { ...unsent, ...born, shipmentId: newShipmentId, lines, origin };
        return { ...state, shipments: [...shipments, split] };
      }
      case 'dispatched': {
        const { shipmentId, carrier, trackingNumber, restShipmentId } = event.value;
        const dispatchedWith = { carrier, trackingNumber };
        return change(shipmentId, { status: 'dispatched', ...dispatchedWith, dispatchedWith, restShipmentId });
      }
      case 'trackingCorrected': {
        const { shipmentId, carrier, trackingNumber, correction } = event.value;
        return change(shipmentId, { carrier, trackingNumber, corrections: correction });
      }
      case 'deliveryFailed': {
        const { shipmentId, attempt, reason } = event.value;
        return change(shipmentId, { status: 'delivery_failed', failedAttempts: attempt, reason });
      }
      case 'lost':
        return change(event.value.shipmentId, { status: 'lost', reason: event.value.reason });
      case 'returned':
        return change(event.value.shipmentId, { status: 'returned', reason: event.value.reason });
      case 'delivered':
        return change(event.value.shipmentId, { status: 'delivered', reason: '' });
      case 'cancelled': {
        const { shipmentIds, reason } = event.value;
        const shipments = state.shipments.map((one) =>
          shipmentIds.length === 0 || shipmentIds.includes(one.shipmentId)
            ? { ...one, status: 'cancelled' as const, reason, updateTime: at, version }
            : one,
        );
        return { ...state, isCancelled: shipments.every(({ status }) => status === 'cancelled'), shipments };
      }
    }
  },
};

const unsent = {
  carrier: '',
  trackingNumber: '',
  dispatchedWith: undefined,
  corrections: 0,
  failedAttempts: 0,
  reason: '',
  restShipmentId: '',
  wasSplit: false,
  origin: undefined,
};

/** The shipment of this id. Throws NOT_FOUND. */
export function shipmentOf(state: ShipmentState, shipmentId: string): OneShipment {
  const found = state.shipments.find((one) => one.shipmentId === shipmentId);
  if (!found) throw notFound('shipment', shipmentId);
  return found;
}

/** By product: the pieces of all shipments that have left or were withdrawn. It only grows, as neither is taken back. */
export function settledPieces({ shipments }: ShipmentState): Map<string, bigint> {
  const pieces = new Map<string, bigint>();
  for (const { productId, quantity } of shipments.flatMap(({ status, lines }) => (status === 'created' ? [] : lines)))
    pieces.set(productId, (pieces.get(productId) ?? 0n) + quantity);
  return pieces;
}

/** Creates the first shipment; a repeat changes nothing. Refused: ALREADY_EXISTS SHIPMENT_EXISTS; SHIPMENT_CANCELLED. */
export function createShipment(state: ShipmentState, input: ShipmentCreated): ShipmentEvent[] {
  if (state.isCancelled) throw refused('SHIPMENT_CANCELLED', `The shipment "${input.shipmentId}" is cancelled.`);
  if (!state.created) return [{ $case: 'created', value: input }];
  if (isSame(state.created, input)) return [];
  throw new CaudalError('ALREADY_EXISTS', 'SHIPMENT_EXISTS', `There is another shipment "${input.shipmentId}".`);
}

/**
 * Cancels all shipments of the order before one has left; a repeat changes nothing. Refused: FAILED_PRECONDITION
 * SHIPMENT_DISPATCHED.
 */
export function cancelShipments(state: ShipmentState, orderId: string): ShipmentEvent[] {
  if (state.isCancelled) return [];
  const open = state.shipments.filter(({ status }) => status !== 'cancelled');
  for (const one of open) assertMay('cancel', one);
  const shipmentIds = open.map(({ shipmentId }) => shipmentId);
  // The first shipment has its order's id.
  const about = { orderId: state.created?.orderId ?? orderId, completes: false, reason: '' };
  return [{ $case: 'cancelled', value: { ...about, shipmentIds } }];
}

/**
 * Cancels what is left in the warehouse of an order of which something has left; a repeat changes nothing. Refused: NOT_FOUND;
 * SHIPMENT_DISPATCHED; CANCEL_ORDER_INSTEAD.
 */
export function withdrawShipment(state: ShipmentState, { shipmentId, reason }: Misfortune): ShipmentEvent[] {
  const { isRepeat, orderId } = outcome(state, shipmentId, 'withdraw', 'cancelled');
  if (isRepeat) return [];
  if (!state.shipments.some(({ status }) => hasLeft(status)))
    throw refused('CANCEL_ORDER_INSTEAD', `No shipment of the order "${orderId}" has left: cancel the order.`);
  const completes = !isOpenBeside(state, shipmentId);
  const { customerId } = state.created!;
  return [{ $case: 'cancelled', value: { orderId, shipmentIds: [shipmentId], completes, reason, customerId } }];
}

/** Whether any other shipment of the order is neither delivered nor cancelled. */
function isOpenBeside({ shipments }: ShipmentState, shipmentId: string): boolean {
  return shipments.some(
    (one) => one.shipmentId !== shipmentId && one.status !== 'delivered' && one.status !== 'cancelled',
  );
}

export interface Dispatch {
  shipmentId: string;
  carrier: string;
  trackingNumber: string;
}

/**
 * The shipment has left. A repeat changes nothing, also after its number was corrected. `etag`: which version of it the caller
 * has read, if that is known. Refused: NOT_FOUND; SHIPMENT_CANCELLED, SHIPMENT_DISPATCHED (a repeat with other details);
 * SHIPMENT_WAS_SPLIT.
 */
export function dispatchShipment(state: ShipmentState, input: Dispatch & { etag: string }): ShipmentEvent[] {
  const one = shipmentOf(state, input.shipmentId);
  // A part of it that has left with the same carrier and number is not the whole.
  if (wasDispatchedSo(one, input) && one.restShipmentId === '') return [];
  assertMay('dispatch', one);
  // A caller that has read it before the split has more pieces in hand than it says.
  if (one.wasSplit && input.etag === '')
    throw refused('SHIPMENT_WAS_SPLIT', `Pieces of the shipment "${input.shipmentId}" were moved to another one.`, {
      violations: [{ field: 'etag', description: 'say what has left: give the etag, or use dispatchPart with lines' }],
    });
  return [dispatchedEvent(state, input, '')];
}

/**
 * Whether it has left with this carrier and number. Two parts without a number can't be told apart, so of a shipment that was
 * split only a number is known again.
 */
export function wasDispatchedSo(
  { dispatchedWith, wasSplit }: OneShipment,
  { carrier, trackingNumber }: Dispatch,
): boolean {
  const isKnown = !wasSplit || trackingNumber !== '';
  return isKnown && dispatchedWith?.carrier === carrier && dispatchedWith.trackingNumber === trackingNumber;
}

export function dispatchedEvent(
  { created, shipments }: ShipmentState,
  { shipmentId, carrier, trackingNumber }: Dispatch,
  restShipmentId: string,
): ShipmentEvent {
  const { orderId, customerId } = created!;
  const later = shipments.some(({ status }) => hasLeft(status));
  return {
    $case: 'dispatched',
    value: { orderId, shipmentId, customerId, carrier, trackingNumber, later, restShipmentId },
  };
}

/**
 * Corrects carrier and number while the shipment is under way. The same values change nothing. Refused: NOT_FOUND;
 * SHIPMENT_NOT_DISPATCHED, SHIPMENT_DELIVERED, SHIPMENT_RETURNED, SHIPMENT_CANCELLED; TOO_MANY_CORRECTIONS.
 */
export function correctTracking(
  state: ShipmentState,
  { shipmentId, carrier, trackingNumber }: Dispatch,
): ShipmentEvent[] {
  const one = shipmentOf(state, shipmentId);
  if (hasLeft(one.status) && one.carrier === carrier && one.trackingNumber === trackingNumber) return [];
  assertMay('correctTracking', one);
  if (one.corrections >= maxCorrections)
    throw refused(
      'TOO_MANY_CORRECTIONS',
      `The shipment "${shipmentId}" was corrected ${maxCorrections} times already.`,
    );
  const { orderId, customerId } = state.created!;
  const correction = one.corrections + 1;
  return [
    { $case: 'trackingCorrected', value: { orderId, customerId, shipmentId, carrier, trackingNumber, correction } },
  ];
}

/**
 * The carrier has tried to deliver the shipment and failed. Attempt 0 is the next one; one that is not later than the last
 * changes nothing. Refused: NOT_FOUND; INVALID_ARGUMENT; SHIPMENT_NOT_DISPATCHED, SHIPMENT_DELIVERED, SHIPMENT_RETURNED,
 * SHIPMENT_CANCELLED; TOO_MANY_ATTEMPTS.
 */
export function recordFailedDelivery(
  state: ShipmentState,
  input: { shipmentId: string; attempt: number; reason: string },
): ShipmentEvent[] {
  const { shipmentId, reason } = input;
  const one = shipmentOf(state, shipmentId);
  const attempt = input.attempt || one.failedAttempts + 1;
  if (attempt <= one.failedAttempts) return [];
  assertMay('recordFailedDelivery', one);
  if (attempt > one.failedAttempts + maxSkippedAttempts)
    throw invalidField('attempt', `may be at most ${maxSkippedAttempts} greater than the last, ${one.failedAttempts}`);
  if (attempt > maxAttempts)
    throw refused('TOO_MANY_ATTEMPTS', `${maxAttempts} failed attempts of the shipment "${shipmentId}" are recorded.`);
  return [{ $case: 'deliveryFailed', value: { orderId: state.created!.orderId, shipmentId, attempt, reason } }];
}

/** What is said of a shipment that does not arrive. */
export interface Misfortune {
  shipmentId: string;
  reason: string;
}

/** The carrier does not find the shipment. Refused: as `recordFailedDelivery`. */
export function markLost(state: ShipmentState, { shipmentId, reason }: Misfortune): ShipmentEvent[] {
  const { isRepeat, orderId } = outcome(state, shipmentId, 'markLost', 'lost');
  return isRepeat ? [] : [{ $case: 'lost', value: { orderId, shipmentId, reason } }];
}

/** The shipment is back at the sender. Refused: as `recordFailedDelivery`. */
export function markReturned(state: ShipmentState, { shipmentId, reason }: Misfortune): ShipmentEvent[] {
  const { isRepeat, orderId } = outcome(state, shipmentId, 'markReturned', 'returned');
  return isRepeat ? [] : [{ $case: 'returned', value: { orderId, shipmentId, reason } }];
}

/** The shipment has arrived. Refused: NOT_FOUND; SHIPMENT_CANCELLED, SHIPMENT_NOT_DISPATCHED, SHIPMENT_RETURNED. */
export function deliverShipment(state: ShipmentState, shipmentId: string): ShipmentEvent[] {
  const { isRepeat, orderId } = outcome(state, shipmentId, 'deliver', 'delivered');
  if (isRepeat) return [];
  const partial = isOpenBeside(state, shipmentId);
  return [{ $case: 'delivered', value: { orderId, shipmentId, partial } }];
}

/** Whether an action that ends in a status of its own is a repeat. Throws if it may not happen. */
function outcome(
  state: ShipmentState,
  shipmentId: string,
  action: Action,
  status: Status,
): { isRepeat: boolean; orderId: string } {
  const one = shipmentOf(state, shipmentId);
  const isRepeat = one.status === status;
  if (!isRepeat) assertMay(action, one);
  return { isRepeat, orderId: state.created!.orderId };
}

function isSame(a: ShipmentCreated, b: ShipmentCreated): boolean {
  return (
    a.orderId === b.orderId &&
    a.customerId === b.customerId &&
    a.country === b.country &&
    a.lines.length === b.lines.length &&
    a.lines.every(({ productId, quantity }, index) => {
      const other = b.lines[index]!;
      return productId === other.productId && quantity === other.quantity;
    })
  );
}

/** Splitting a shipment in the warehouse: pieces are moved to a new one, so the sum of all stays what was ordered. */
import { assertDistinctProducts } from '@caudal/contract/distinct-products.ts';
import type { ShipmentLine } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { CaudalError, type FieldViolation, invalidField, refused } from '@caudal/kernel/errors.ts';
import {
  type Dispatch,
  dispatchedEvent,
  type OneShipment,
  type ShipmentEvent,
  type ShipmentState,
  shipmentOf,
  wasDispatchedSo,
} from './shipment.ts';
import { freeShipmentId, streamIdOf } from './shipment-ids.ts';
import { assertMay } from './transitions.ts';

/** The most shipments of an order. */
export const maxShipments = 50;
/** The most lines of all shipments of an order together. */
export const maxLines = 2_000;

/**
 * Moves lines to a new shipment. A repeat (the same new id, origin and lines) changes nothing. Refused: NOT_FOUND; ALREADY_EXISTS
 * SHIPMENT_EXISTS; SHIPMENT_DISPATCHED, SHIPMENT_CANCELLED; INVALID_ARGUMENT PRODUCT_TWICE; NOT_IN_SHIPMENT, NOTHING_LEFT;
 * TOO_MANY_SHIPMENTS.
 */
export function splitShipment(
  state: ShipmentState,
  { shipmentId, newShipmentId, lines }: { shipmentId: string; newShipmentId: string; lines: ShipmentLine[] },
): ShipmentEvent[] {
  assertDistinctProducts(lines);
  const one = shipmentOf(state, shipmentId);
  const streamId = streamIdOf(shipmentId);
  if (streamIdOf(newShipmentId) !== streamId)
    throw invalidField('new_shipment_id', `must be "${streamId}~" and a number from 2 to 99`);
  const other = state.shipments.find((known) => known.shipmentId === newShipmentId);
  if (other) {
    if (other.origin?.shipmentId === shipmentId && areSame(other.origin.lines, lines)) return [];
    throw new CaudalError('ALREADY_EXISTS', 'SHIPMENT_EXISTS', `There is another shipment "${newShipmentId}".`);
  }
  assertMay('split', one);
  const keptLines = without(one, lines);
  if (keptLines.length === 0)
    throw refused('NOTHING_LEFT', `Nothing would be left in the shipment "${shipmentId}".`, {
      violations: [{ field: 'lines', description: 'are all pieces of the shipment: leave at least one' }],
    });
  return [splitEvent(state, { shipmentId, newShipmentId, lines, keptLines })];
}

/**
 * Some lines of the shipment have left; the rest is moved to a new one. A repeat changes nothing. Refused: as `dispatchShipment`;
 * INVALID_ARGUMENT PRODUCT_TWICE; NOT_IN_SHIPMENT; TOO_MANY_SHIPMENTS.
 */
export function dispatchPart(
  state: ShipmentState,
  { lines, ...dispatch }: Dispatch & { lines: ShipmentLine[] },
): ShipmentEvent[] {
  assertDistinctProducts(lines);
  const { shipmentId } = dispatch;
  const one = shipmentOf(state, shipmentId);
  if (wasDispatchedSo(one, dispatch) && areSame(one.lines, lines)) return [];
  assertMay('dispatch', one);
  const rest = without(one, lines);
  if (rest.length === 0) return [dispatchedEvent(state, dispatch, '')];
  const taken = state.shipments.map((known) => known.shipmentId);
  const newShipmentId = freeShipmentId(streamIdOf(shipmentId), taken);
  return [
    splitEvent(state, { shipmentId, newShipmentId, lines: rest, keptLines: lines }),
    dispatchedEvent(state, dispatch, newShipmentId),
  ];
}

interface Split {
  shipmentId: string;
  newShipmentId: string;
  lines: ShipmentLine[];
  keptLines: ShipmentLine[];
}

/** Throws FAILED_PRECONDITION TOO_MANY_SHIPMENTS. */
function splitEvent({ created, shipments }: ShipmentState, split: Split): ShipmentEvent {
  const others = shipments.filter(({ shipmentId }) => shipmentId !== split.shipmentId);
  const lines = others.reduce((sum, other) => sum + other.lines.length, split.lines.length + split.keptLines.length);
  if (shipments.length >= maxShipments || lines > maxLines)
    throw refused(
      'TOO_MANY_SHIPMENTS',
      `An order has at most ${maxShipments} shipments, and these at most ${maxLines} lines together.`,
    );
  const { orderId, customerId, country } = created!;
  return { $case: 'split', value: { orderId, customerId, country, ...split } };
}

/** What is left of the shipment without these lines. Throws FAILED_PRECONDITION NOT_IN_SHIPMENT if it has fewer pieces. */
function without({ shipmentId, lines }: OneShipment, taken: ShipmentLine[]): ShipmentLine[] {
  const there = new Map(lines.map(({ productId, quantity }) => [productId, quantity]));
  const violations = taken.flatMap(({ productId, quantity }, index): FieldViolation[] => {
    const most = there.get(productId) ?? 0n;
    if (quantity <= most) return [];
    return [{ field: `lines[${index}].quantity`, description: `the shipment has ${most} of "${productId}"` }];
  });
  if (violations.length > 0)
    throw refused('NOT_IN_SHIPMENT', `The shipment "${shipmentId}" does not have these pieces.`, { violations });
  const gone = new Map(taken.map(({ productId, quantity }) => [productId, quantity]));
  return lines
    .map(({ productId, quantity }) => ({ productId, quantity: quantity - (gone.get(productId) ?? 0n) }))
    .filter(({ quantity }) => quantity > 0n);
}

/** Whether both are the same pieces, in any order. Each has a product once. */
function areSame(a: readonly ShipmentLine[], b: readonly ShipmentLine[]): boolean {
  const quantities = new Map(a.map(({ productId, quantity }) => [productId, quantity]));
  return a.length === b.length && b.every(({ productId, quantity }) => quantities.get(productId) === quantity);
}

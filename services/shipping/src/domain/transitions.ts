/** What may happen to a shipment in which status, and what it is then. The table of docs/shipments.md. */
import { type CaudalError, refused } from '@caudal/kernel/errors.ts';

export type Status = 'created' | 'dispatched' | 'delivery_failed' | 'lost' | 'returned' | 'delivered' | 'cancelled';

export type Action =
  | 'dispatch'
  | 'split'
  | 'cancel'
  | 'withdraw'
  | 'correctTracking'
  | 'recordFailedDelivery'
  | 'markLost'
  | 'markReturned'
  | 'deliver';

/** By action: the status after it, for each status in which it may happen. */
export const transitions: Readonly<Record<Action, Readonly<Partial<Record<Status, Status>>>>> = {
  dispatch: { created: 'dispatched' },
  split: { created: 'created' },
  cancel: { created: 'cancelled' },
  withdraw: { created: 'cancelled' },
  correctTracking: { dispatched: 'dispatched', delivery_failed: 'delivery_failed', lost: 'lost' },
  // A lost shipment may turn up.
  recordFailedDelivery: { dispatched: 'delivery_failed', delivery_failed: 'delivery_failed', lost: 'delivery_failed' },
  markLost: { dispatched: 'lost', delivery_failed: 'lost' },
  markReturned: { dispatched: 'returned', delivery_failed: 'returned', lost: 'returned' },
  deliver: { dispatched: 'delivered', delivery_failed: 'delivered', lost: 'delivered' },
};

/** Actions of the warehouse: they end when the shipment leaves. */
const inWarehouse = new Set<Action>(['dispatch', 'split', 'cancel', 'withdraw']);

/** A shipment as an action finds it. */
interface Found {
  shipmentId: string;
  status: Status;
  restShipmentId: string;
}

/** Throws FAILED_PRECONDITION, with a reason that says where the shipment is, if the action may not happen. */
export function assertMay(action: Action, shipment: Found): void {
  if (transitions[action][shipment.status] === undefined) throw refusalOf(action, shipment);
}

/** Says that a shipment has left, and which one has the rest if only a part has. */
export function hasLeftAlready({ shipmentId, status, restShipmentId }: Found): CaudalError {
  const where = restShipmentId ? `: what did not leave with it is in "${restShipmentId}"` : '';
  const metadata = { status, ...(restShipmentId && { restShipment: restShipmentId }) };
  return refused('SHIPMENT_DISPATCHED', `The shipment "${shipmentId}" has left the warehouse${where}.`, { metadata });
}

function refusalOf(action: Action, shipment: Found): CaudalError {
  const { shipmentId, status } = shipment;
  const metadata = { status };
  if (status === 'cancelled')
    return refused('SHIPMENT_CANCELLED', `The shipment "${shipmentId}" is cancelled.`, { metadata });
  if (inWarehouse.has(action)) return hasLeftAlready(shipment);
  if (status === 'delivered')
    return refused('SHIPMENT_DELIVERED', `The shipment "${shipmentId}" was delivered.`, { metadata });
  if (status === 'returned')
    return refused('SHIPMENT_RETURNED', `The shipment "${shipmentId}" is back at the sender.`, { metadata });
  return refused('SHIPMENT_NOT_DISPATCHED', `The shipment "${shipmentId}" has not left the warehouse.`, { metadata });
}

/** Whether a shipment in this status has left the warehouse. */
export function hasLeft(status: Status): boolean {
  return status !== 'created' && status !== 'cancelled';
}

/** Reasons of shipping, for the reference of errors. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  SHIPMENT_NOT_FOUND: { code: 'NOT_FOUND', meaning: 'There is no such shipment.' },
  SHIPMENT_EXISTS: { code: 'ALREADY_EXISTS', meaning: 'There is another shipment of this id.' },
  SHIPMENT_CANCELLED: { code: 'FAILED_PRECONDITION', meaning: 'The shipment is cancelled: it will not leave.' },
  SHIPMENT_DISPATCHED: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The shipment has left the warehouse. If only a part has, `metadata.restShipment` has the rest.',
  },
  SHIPMENT_NOT_DISPATCHED: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The shipment has not left the warehouse. Dispatch it first.',
  },
  SHIPMENT_DELIVERED: { code: 'FAILED_PRECONDITION', meaning: 'The shipment was delivered.' },
  SHIPMENT_RETURNED: { code: 'FAILED_PRECONDITION', meaning: 'The shipment is back at the sender.' },
  SHIPMENT_WAS_SPLIT: {
    code: 'FAILED_PRECONDITION',
    meaning: 'Pieces of it were moved to another shipment. Give its etag, or name the pieces that have left.',
  },
  CANCEL_ORDER_INSTEAD: {
    code: 'FAILED_PRECONDITION',
    meaning: 'No shipment of the order has left, so there is no rest to withdraw. Cancel the order.',
  },
  TOO_MANY_ATTEMPTS: {
    code: 'FAILED_PRECONDITION',
    meaning: 'There are 100 failed attempts to deliver the shipment. Record that it was lost or returned.',
  },
  NOT_IN_SHIPMENT: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The shipment has fewer pieces of a product, or none; `violations` names the lines.',
  },
  NOTHING_LEFT: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The split would leave an empty shipment. Leave at least one piece in it.',
  },
  TOO_MANY_SHIPMENTS: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The order would have more than 50 shipments, or these more than 2,000 lines. Send whole lines, or what is left together.',
  },
  TOO_MANY_CORRECTIONS: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The carrier or the tracking number of the shipment was corrected 20 times.',
  },
} satisfies Record<string, Reason>;

/** Reasons of shipping, for the reference of errors. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  SHIPMENT_NOT_FOUND: { code: 'NOT_FOUND', meaning: 'There is no such shipment.' },
  SHIPMENT_EXISTS: { code: 'ALREADY_EXISTS', meaning: 'There is another shipment of this id.' },
  SHIPMENT_CANCELLED: { code: 'FAILED_PRECONDITION', meaning: 'The shipment is cancelled: it will not leave.' },
  SHIPMENT_DISPATCHED: { code: 'FAILED_PRECONDITION', meaning: 'The shipment has left the warehouse.' },
  SHIPMENT_NOT_DISPATCHED: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The shipment has not left the warehouse. Dispatch it first.',
  },
} satisfies Record<string, Reason>;

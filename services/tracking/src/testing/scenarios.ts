/**
 * What carriers report of parcels, and what is true of them then: one line a scenario. Written from the public documentation of
 * parcel carriers, values only. A step is `hours after the start: status/sub-status`; the steps stand in the order of arrival.
 */
import type { Status, Trace } from '../domain/trace.ts';
import { traceAt } from './traces.ts';

export interface Scenario {
  name: string;
  steps: string;
  /** `status/sub-status` of the outcome, with `<` for a parcel on its way back or back. */
  outcome: string;
}

const short: Record<string, Status> = {
  pre: 'PRE_TRANSIT',
  move: 'IN_TRANSIT',
  out: 'OUT_FOR_DELIVERY',
  pickup: 'AVAILABLE_FOR_PICKUP',
  failed: 'FAILED_ATTEMPT',
  trouble: 'EXCEPTION',
  delivered: 'DELIVERED',
  returning: 'RETURNING',
  returned: 'RETURNED',
  expired: 'EXPIRED',
  cancelled: 'CANCELLED',
};

/** The traces of a scenario's steps; `?` is a code without a meaning. */
export function tracesOf({ steps }: Scenario): Trace[] {
  return steps.split(' ').map((step) => {
    const [, hours, status, subStatus] = /^([\d.]+):(\w+|\?)(?:\/(\w+))?$/.exec(step)!;
    return traceAt(Number(hours), short[status!], subStatus ? { subStatus } : { detail: step });
  });
}

const scenario = (name: string, steps: string, outcome: string): Scenario => ({ name, steps, outcome });

export const scenarios: Scenario[] = [
  // In order.
  scenario('only a label', '0:pre/LABEL_CREATED', 'PRE_TRANSIT/LABEL_CREATED'),
  scenario('a pick-up is planned', '0:pre/LABEL_CREATED 2:pre/PICKUP_SCHEDULED', 'PRE_TRANSIT/PICKUP_SCHEDULED'),
  scenario('the pick-up failed', '0:pre/PICKUP_SCHEDULED 5:pre/PICKUP_FAILED', 'PRE_TRANSIT/PICKUP_FAILED'),
  scenario('picked up', '0:pre 5:move/ACCEPTED', 'IN_TRANSIT/ACCEPTED'),
  scenario('between depots', '0:pre 5:move/ACCEPTED 9:move/DEPARTED 20:move/ARRIVED', 'IN_TRANSIT/ARRIVED'),
  scenario('abroad', '5:move/ACCEPTED 30:move/CUSTOMS_STARTED 50:move/CUSTOMS_CLEARED', 'IN_TRANSIT/CUSTOMS_CLEARED'),
  scenario('a post office takes over', '5:move/ACCEPTED 30:move/HANDED_OVER', 'IN_TRANSIT/HANDED_OVER'),
  scenario('with the courier', '5:move 30:out/WITH_COURIER', 'OUT_FOR_DELIVERY/WITH_COURIER'),
  scenario('delivered', '0:pre 5:move 30:out 34:delivered/TO_RECIPIENT', 'DELIVERED/TO_RECIPIENT'),
  scenario('delivered to a neighbour', '5:move 30:out 34:delivered/TO_NEIGHBOUR', 'DELIVERED/TO_NEIGHBOUR'),
  scenario('left in a safe place', '5:move 30:out 34:delivered/TO_SAFE_PLACE', 'DELIVERED/TO_SAFE_PLACE'),
  scenario('waits in a locker', '5:move 30:out 34:pickup/AT_LOCKER', 'AVAILABLE_FOR_PICKUP/AT_LOCKER'),
  scenario('collected from a shop', '5:move 34:pickup/AT_PICKUP_POINT 60:delivered/COLLECTED', 'DELIVERED/COLLECTED'),
  scenario('delivered without any scan before', '0:pre 34:delivered', 'DELIVERED'),
  scenario('the first that is known is the delivery', '34:delivered', 'DELIVERED'),

  // Attempts.
  scenario('not at home', '30:out 34:failed/NOT_AT_HOME', 'FAILED_ATTEMPT/NOT_AT_HOME'),
  scenario('a second attempt fails', '34:failed/NOT_AT_HOME 54:out 58:failed/NO_ACCESS', 'FAILED_ATTEMPT/NO_ACCESS'),
  scenario('a second attempt succeeds', '34:failed/NOT_AT_HOME 54:out 58:delivered', 'DELIVERED'),
  scenario('back in the depot after an attempt', '34:failed/NOT_AT_HOME 38:move/ARRIVED', 'IN_TRANSIT/ARRIVED'),
  scenario(
    'to the shop after an attempt',
    '34:failed/NOT_AT_HOME 38:pickup/AT_PICKUP_POINT',
    'AVAILABLE_FOR_PICKUP/AT_PICKUP_POINT',
  ),
  scenario(
    'attempt and shop in the same minute',
    '34:pickup/AT_PICKUP_POINT 34:failed/NOT_AT_HOME',
    'AVAILABLE_FOR_PICKUP/AT_PICKUP_POINT',
  ),
  scenario('the address is wrong', '30:out 34:failed/ADDRESS_PROBLEM', 'FAILED_ATTEMPT/ADDRESS_PROBLEM'),
  scenario('not delivered on the day, next morning out again', '30:out 40:move/ARRIVED 54:out', 'OUT_FOR_DELIVERY'),

  // Exceptions.
  scenario('delayed', '5:move 20:trouble/DELAYED', 'EXCEPTION/DELAYED'),
  scenario('goes on after a delay', '20:trouble/DELAYED 30:move/DEPARTED', 'IN_TRANSIT/DEPARTED'),
  scenario('the weather, then delivered', '20:trouble/WEATHER 44:out 48:delivered', 'DELIVERED'),
  scenario('held by customs', '30:move/CUSTOMS_STARTED 40:trouble/CUSTOMS_HELD', 'EXCEPTION/CUSTOMS_HELD'),
  scenario('released by customs', '40:trouble/CUSTOMS_HELD 90:move/CUSTOMS_CLEARED', 'IN_TRANSIT/CUSTOMS_CLEARED'),
  scenario('lost', '5:move 200:trouble/LOST', 'EXCEPTION/LOST'),
  scenario('lost and found', '200:trouble/LOST 300:move/ARRIVED', 'IN_TRANSIT/ARRIVED'),
  scenario('lost and found at the door', '200:trouble/LOST 300:delivered', 'DELIVERED'),
  scenario('damaged on the way', '5:move 20:trouble/DAMAGED', 'EXCEPTION/DAMAGED'),
  scenario('damage is reported after the delivery', '34:delivered 60:trouble/DAMAGED', 'DELIVERED'),
  scenario('an exception is no end of itself by a label', '20:trouble/HELD 30:pre/LABEL_CREATED', 'EXCEPTION/HELD'),
  scenario('nothing is known any more', '5:move 900:expired/NO_INFORMATION', 'EXPIRED/NO_INFORMATION'),
  scenario('it turns up after all', '5:move 900:expired/NO_INFORMATION 950:move/ARRIVED', 'IN_TRANSIT/ARRIVED'),
  scenario('delivered after it had expired', '900:expired 950:delivered', 'DELIVERED'),

  // Cancelled.
  scenario('the label is void', '0:pre 3:cancelled/LABEL_VOIDED', 'CANCELLED/LABEL_VOIDED'),
  scenario(
    'the label was void, and it travels all the same',
    '3:cancelled/LABEL_VOIDED 9:move/ACCEPTED',
    'IN_TRANSIT/ACCEPTED',
  ),
  scenario('a label again after it was void', '3:cancelled/LABEL_VOIDED 9:pre/LABEL_CREATED', 'CANCELLED/LABEL_VOIDED'),
  scenario('delivered although cancelled', '3:cancelled 34:delivered', 'DELIVERED'),
  scenario('cancelled after the delivery', '34:delivered 40:cancelled', 'DELIVERED'),

  // Returns.
  scenario('refused, on its way back', '34:failed/REFUSED 38:returning/REFUSED', '<RETURNING/REFUSED'),
  scenario('back at the sender', '38:returning/REFUSED 90:returned/TO_SENDER', '<RETURNED/TO_SENDER'),
  scenario('scans on the way back', '38:returning/UNCLAIMED 50:move/DEPARTED 60:out', '<RETURNING/UNCLAIMED'),
  scenario('"delivered" at the end of a return', '38:returning/REFUSED 80:out 90:delivered', '<RETURNED/TO_SENDER'),
  scenario('not collected', '34:pickup/AT_LOCKER 300:returning/UNCLAIMED', '<RETURNING/UNCLAIMED'),
  scenario('a return after the delivery takes it back', '34:delivered 60:returning/REQUESTED', '<RETURNING/REQUESTED'),
  scenario(
    'delivered, returned, delivered to the sender',
    '34:delivered 60:returning 99:delivered',
    '<RETURNED/TO_SENDER',
  ),
  scenario('lost on the way back', '38:returning 200:trouble/LOST', '<EXCEPTION/LOST'),
  scenario('found on the way back', '38:returning/REFUSED 200:trouble/LOST 240:move/ARRIVED', '<RETURNING/REFUSED'),
  scenario('the return is cancelled', '38:returning 40:move/RETURN_CANCELLED 54:out 58:delivered', 'DELIVERED'),
  scenario(
    'the return is cancelled and begins again',
    '38:returning 40:move/RETURN_CANCELLED 58:delivered 70:returning/REQUESTED',
    '<RETURNING/REQUESTED',
  ),
  scenario('a late scan after the return', '38:returning 90:returned/TO_SENDER 95:move', '<RETURNED/TO_SENDER'),

  // Disorder, mistakes, clocks.
  scenario('backwards', '34:delivered/TO_RECIPIENT 30:out 5:move 0:pre', 'DELIVERED/TO_RECIPIENT'),
  scenario('a late scan does not take back a delivery', '34:delivered 36:move/ARRIVED', 'DELIVERED'),
  scenario(
    'the exception arrives after the progress that ended it',
    '30:move/DEPARTED 20:trouble/DELAYED',
    'IN_TRANSIT/DEPARTED',
  ),
  scenario(
    'label data with a later time than the first scan',
    '5:move/ACCEPTED 9:pre/LABEL_CREATED',
    'IN_TRANSIT/ACCEPTED',
  ),
  scenario(
    'depot and courier in the same minute',
    '30:out/WITH_COURIER 30:move/ARRIVED',
    'OUT_FOR_DELIVERY/WITH_COURIER',
  ),
  scenario('an unknown code changes nothing', '30:out/WITH_COURIER 31:?', 'OUT_FOR_DELIVERY/WITH_COURIER'),
  scenario('only unknown codes', '30:? 31:?', '-'),
  scenario('the delivery was a mistake', '34:delivered 35:trouble/END_VOIDED', 'EXCEPTION/END_VOIDED'),
  scenario(
    'the mistake is corrected and it is delivered',
    '34:delivered 35:trouble/END_VOIDED 54:out 58:delivered/TO_RECIPIENT',
    'DELIVERED/TO_RECIPIENT',
  ),
  scenario(
    'the correction arrives before the mistake',
    '35:trouble/END_VOIDED 34:delivered 40:move/ARRIVED',
    'IN_TRANSIT/ARRIVED',
  ),
  scenario('the return was a mistake', '30:out 34:returned/TO_SENDER 35:trouble/END_VOIDED 40:out', 'OUT_FOR_DELIVERY'),
];

/**
 * The stream of a parcel: its status as it changed, and the shipment that has its number. It is the state of the saga that tells
 * shipping what has become of the parcel. The traces themselves are no events.
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { type EventOf, parcel } from '@caudal/contract/entities.ts';
import type { ParcelAttached, ParcelStatusChanged } from '@caudal/contract/gen/caudal/tracking/v1/events.ts';
import { ParcelStatus } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';

export type ParcelEvent = EventOf<typeof parcel>;

export interface ParcelStream {
  carrier: string;
  trackingNumber: string;
  status: ParcelStatus;
  /** Of the parcel's row, when it had this status. */
  revision: bigint;
  shipment: ParcelAttached | undefined;
  /** Another shipment that has said the same number since. It is this one's parcel if the first has another number by now. */
  contender: ParcelAttached | undefined;
  /** Whether the first is to be asked whether it still has the number: when another comes, and when the status changes. */
  isContested: boolean;
  /** When the status or the shipment last changed. */
  changedAt: Date;
  /** Whether the parcel's row names the shipment. */
  isLinked: boolean;
  /** What shipping was told of the shipment last. */
  informed: ParcelStatus;
}

const { PARCEL_STATUS_UNSPECIFIED, PARCEL_STATUS_DELIVERED, PARCEL_STATUS_RETURNED } = ParcelStatus;

export const parcelDecider: Decider<ParcelStream, ParcelEvent> = {
  entity: parcel,
  initial: {
    carrier: '',
    trackingNumber: '',
    status: PARCEL_STATUS_UNSPECIFIED,
    revision: 0n,
    shipment: undefined,
    contender: undefined,
    isContested: false,
    changedAt: new Date(0),
    isLinked: false,
    informed: PARCEL_STATUS_UNSPECIFIED,
  },
  owner: ({ shipment }) => shipment?.customerId,
  evolve(state, event, at) {
    switch (event.$case) {
      case 'statusChanged': {
        const { carrier, trackingNumber, status, revision } = event.value;
        const isContested = state.contender !== undefined;
        return { ...state, carrier, trackingNumber, status, revision, changedAt: at, isContested };
      }
      case 'attached': {
        const { carrier, trackingNumber } = event.value;
        const isSame = event.value.shipmentId === state.shipment?.shipmentId;
        if (state.shipment && !isSame) return { ...state, contender: event.value, isContested: true };
        const informed = isSame ? state.informed : PARCEL_STATUS_UNSPECIFIED;
        return {
          ...{ ...state, carrier, trackingNumber, informed },
          ...{ shipment: event.value, changedAt: at, isLinked: false },
        };
      }
      case 'detached':
        return {
          ...{ ...state, shipment: state.contender, contender: undefined, isContested: false, changedAt: at },
          ...{ isLinked: false, informed: PARCEL_STATUS_UNSPECIFIED },
        };
      case 'shipmentLinked':
        return { ...state, isLinked: true, isContested: false };
      case 'shipmentInformed':
        return { ...state, informed: event.value.status };
    }
  },
};

/** What a parcel's row says of it. */
export type Change = Pick<
  ParcelStatusChanged,
  'carrier' | 'trackingNumber' | 'status' | 'subStatus' | 'statusTime' | 'revision'
>;

/** The parcel's row has this status. One that is not newer changes nothing. */
export function changeStatus(state: ParcelStream, change: Change): ParcelEvent[] {
  if (change.revision <= state.revision || change.status === state.status) return [];
  const { shipmentId = '', orderId = '', customerId = '' } = state.shipment ?? {};
  const value = { ...change, shipmentId, orderId, customerId, previousStatus: state.status };
  return [{ $case: 'statusChanged', value }];
}

/** A shipment has the parcel's number. Of two shipments with one number the first keeps it, as long as it has it. */
export function attach({ shipment, contender }: ParcelStream, input: ParcelAttached): ParcelEvent[] {
  const known = [shipment, contender].find((one) => one?.shipmentId === input.shipmentId);
  return known && known.shipmentVersion >= input.shipmentVersion ? [] : [{ $case: 'attached', value: input }];
}

/** What shipping is to be told next, if anything. */
export function toTell({ shipment, status, informed }: ParcelStream): ParcelStatus | undefined {
  const isEnd = status === PARCEL_STATUS_DELIVERED || status === PARCEL_STATUS_RETURNED;
  return shipment && isEnd && informed !== status ? status : undefined;
}

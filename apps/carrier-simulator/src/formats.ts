/** What the simulated carriers answer and push, each in its own format. */
import type { Carrier, Happening, Parcel, SimulatedEvent } from './parcels.ts';

type Json = Record<string, unknown>;

interface Words {
  /** Caudal's own status and sub-status. */
  acme: [string, string?];
  /** DHL's statusCode and words. */
  dhl: [string, string];
  /** UPS's type, code, statusCode and words. */
  ups: [string, string, string, string];
}

const words: Record<Happening, Words> = {
  LABEL: {
    acme: ['PRE_TRANSIT', 'LABEL_CREATED'],
    dhl: ['pre-transit', 'The data was received'],
    ups: ['M', 'MP', '003', 'Shipment ready'],
  },
  ACCEPTED: {
    acme: ['IN_TRANSIT', 'ACCEPTED'],
    dhl: ['transit', 'The shipment was picked up'],
    ups: ['P', 'PU', '038', 'Picked up'],
  },
  DEPARTED: {
    acme: ['IN_TRANSIT', 'DEPARTED'],
    dhl: ['transit', 'Departed from the facility'],
    ups: ['I', 'DP', '005', 'Departed'],
  },
  ARRIVED: {
    acme: ['IN_TRANSIT', 'ARRIVED'],
    dhl: ['transit', 'Arrived at the facility'],
    ups: ['I', 'AR', '005', 'Arrived'],
  },
  DELAYED: { acme: ['EXCEPTION', 'DELAYED'], dhl: ['failure', 'There is a delay'], ups: ['X', 'DY', '046', 'Delay'] },
  LOST: {
    acme: ['EXCEPTION', 'LOST'],
    dhl: ['failure', 'The shipment is missing'],
    ups: ['X', 'LF', '068', 'Sent to lost and found'],
  },
  OUT: {
    acme: ['OUT_FOR_DELIVERY', 'WITH_COURIER'],
    dhl: ['transit', 'Loaded onto the delivery vehicle'],
    ups: ['O', 'OT', '021', 'Out for delivery'],
  },
  FAILED: {
    acme: ['FAILED_ATTEMPT', 'REFUSED'],
    dhl: ['failure', 'The recipient refused it'],
    ups: ['X', 'RF', '064', 'Refused'],
  },
  DELIVERED: { acme: ['DELIVERED'], dhl: ['delivered', 'Delivered'], ups: ['D', 'FS', '011', 'Delivered'] },
  RETURNING: {
    acme: ['RETURNING', 'REFUSED'],
    dhl: ['failure', 'Returned to sender'],
    ups: ['X', 'RT', '035', 'Returning'],
  },
  // DHL and UPS may call the end of a return a delivery.
  RETURNED: { acme: ['RETURNED', 'TO_SENDER'], dhl: ['delivered', 'Delivered'], ups: ['RS', 'RS', '034', 'Returned'] },
};

/** A parcel, and what has happened to it. */
export interface Item {
  parcel: Parcel;
  event: SimulatedEvent;
}

/** What a carrier pushes: at most `pushSize` events, all of parcels of that carrier. */
export function pushed(carrier: Carrier, items: readonly Item[]): Json {
  if (carrier === 'ups') return upsAlert(items[0]!.parcel, items[0]!.event);
  if (carrier === 'dhl') return { shipments: items.map(({ parcel, event }) => dhlShipment(parcel, [event])) };
  return { traces: items.map(({ parcel, event }) => acmeTrace(parcel, event)) };
}

/** What a carrier answers to a poll. */
export function answered(parcel: Parcel, events: SimulatedEvent[]): Json {
  if (parcel.carrier === 'acme') return { traces: events.map((event) => acmeTrace(parcel, event)) };
  if (parcel.carrier === 'ups') return upsAnswer(parcel, events);
  return { shipments: [dhlShipment(parcel, events)] };
}

/** A line of a file for the import. */
export const importLine = (parcel: Parcel, event: SimulatedEvent): Json => ({
  carrier: parcel.carrier,
  ...acmeTrace(parcel, event),
});

function acmeTrace({ trackingNumber }: Parcel, { id, happening, at, hub }: SimulatedEvent): Json {
  const [status, subStatus] = words[happening].acme;
  const { name, country, latitude, longitude } = hub;
  return {
    trackingNumber,
    eventId: id,
    happenedAt: new Date(at).toISOString(),
    status,
    ...(subStatus && { subStatus }),
    place: { name, country, latitude, longitude },
  };
}

function dhlShipment({ trackingNumber }: Parcel, events: SimulatedEvent[]): Json {
  return {
    id: trackingNumber,
    service: 'express',
    events: events.map(({ happening, at, hub }) => ({
      // Local, without an offset, as most of DHL's divisions do.
      timestamp: localOf(at, hub.offsetMinutes).slice(0, 19),
      location: { address: { addressLocality: hub.name, countryCode: hub.country } },
      statusCode: words[happening].dhl[0],
      description: words[happening].dhl[1],
    })),
  };
}

const digits = (iso: string) => ({
  date: iso.slice(0, 10).replaceAll('-', ''),
  time: iso.slice(11, 19).replaceAll(':', ''),
});

function upsAnswer({ trackingNumber }: Parcel, events: SimulatedEvent[]): Json {
  const activity = events.map(({ happening, at, hub }) => {
    const [type, code, statusCode, description] = words[happening].ups;
    const utc = digits(new Date(at).toISOString());
    return {
      location: { address: { city: hub.name, countryCode: hub.country } },
      status: { type, code, statusCode, description },
      ...digits(localOf(at, hub.offsetMinutes)),
      gmtDate: utc.date,
      gmtTime: utc.time,
    };
  });
  return { trackResponse: { shipment: [{ inquiryNumber: trackingNumber, package: [{ trackingNumber, activity }] }] } };
}

function upsAlert({ trackingNumber }: Parcel, { happening, at, hub }: SimulatedEvent): Json {
  const [type, code, , description] = words[happening].ups;
  const local = digits(localOf(at, hub.offsetMinutes));
  const utc = digits(new Date(at).toISOString());
  return {
    trackingNumber,
    localActivityDate: local.date,
    localActivityTime: local.time,
    gmtActivityDate: utc.date,
    gmtActivityTime: utc.time,
    activityLocation: { city: hub.name, country: hub.country },
    activityStatus: { type, code, description },
  };
}

const localOf = (at: number, offsetMinutes: number): string => new Date(at + offsetMinutes * 60_000).toISOString();

/** How many events a push of this carrier may have. */
export const pushSize: Record<Carrier, number> = { acme: 100, dhl: 100, ups: 1 };

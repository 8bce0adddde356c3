/**
 * DHL's Shipment Tracking API (Unified): GET /track/shipments, {"shipments": [...]}. It has no ids of events, and its times are local
 * to the place where it happened, mostly without an offset. Its answer as the body of a signed webhook is understood, too.
 */
import { derivedId } from '@caudal/kernel/ids.ts';
import type { Trace } from '../domain/trace.ts';
import { type DhlRow, dhlRows } from './dhl-codes.ts';
import { type Event, expectation } from './expectation.ts';
import {
  isJson,
  type Json,
  lenientCountry,
  lenientText,
  lenientUrl,
  listAt,
  maxDetail,
  maxPlaceName,
  objectAt,
  optional,
  readBody,
  readEach,
  timeOf,
  trackingNumberOf,
  WrongField,
  zoneAt,
} from './fields.ts';
import type { CarrierAdapter, Parsed } from './port.ts';
import { signed } from './signature.ts';

/** The adapter. */
export const dhl = (carrier: string): CarrierAdapter => ({
  name: carrier,
  parse(body, now) {
    const read = readBody(body);
    if ('refusal' in read) return { traces: [], refused: [read.refusal] };
    const { json } = read;
    if (!Array.isArray(json.shipments))
      return { traces: [], refused: [{ field: 'shipments', problem: 'It is missing: this is no answer of DHL.' }] };
    const parsed: Parsed = { traces: [], refused: [] };
    const shipments = readEach(json.shipments, 'shipments', (shipment) => {
      const { traces, refused } = readShipment(shipment, carrier, now);
      parsed.refused.push(...refused);
      return traces;
    });
    return { traces: shipments.traces, refused: [...shipments.refused, ...parsed.refused] };
  },
  verify: signed(carrier),
  poll: {
    request: ({ base, trackingNumber, credential }) => ({
      url: `${base}/track/shipments?trackingNumber=${encodeURIComponent(trackingNumber)}&language=en`,
      headers: { 'dhl-api-key': credential, accept: 'application/json' },
    }),
  },
});

function readShipment(shipment: Json, carrier: string, receivedAt: Date): Parsed {
  const trackingNumber = trackingNumberOf(shipment.id, 'id');
  const common = { carrier, trackingNumber, receivedAt };
  const home = countryOf(objectAt(shipment, 'origin')) ?? countryOf(objectAt(shipment, 'destination'));
  // Of one that has just been announced there is a status, and no events.
  const events = listAt(shipment, 'events').length > 0 ? listAt(shipment, 'events') : [shipment.status].filter(isJson);
  const parsed = readEach(events, `${trackingNumber}.events`, (event) => [{ ...common, ...readEvent(event, home) }]);
  const last = parsed.traces.toSorted((a, b) => b.happenedAt.getTime() - a.happenedAt.getTime())[0];
  if (last) {
    const more = { ...backOf(shipment, last), ...(last.status === 'DELIVERED' && proofOf(shipment)) };
    // It is another trace than the same event without it, which may have been recorded before.
    if (Object.keys(more).length > 0)
      Object.assign(last, more, { eventId: derivedId(last.eventId!, JSON.stringify(more)) });
    const eta = etaOf(shipment);
    if (eta) parsed.traces.push({ ...common, ...expectation(eta, last, receivedAt) });
  }
  return parsed;
}

function readEvent(event: Json, home: string | undefined): Event {
  const location = objectAt(event, 'location');
  const country = countryOf(location);
  const name = lenientText(objectAt(location, 'address').addressLocality, maxPlaceName);
  const zone = zoneAt(event.timestamp, country ?? home);
  const { at, zone: used } = timeOf(event.timestamp, 'timestamp', zone);
  const said = lenientText(event.description, maxDetail) ?? lenientText(event.status, maxDetail);
  const { status, subStatus } = rowOf(event);
  const place = name || country ? { ...optional('name', name), ...optional('country', country) } : undefined;
  return {
    eventId: derivedId('dhl', String(event.timestamp), String(event.statusCode), said ?? '', name ?? ''),
    happenedAt: new Date(at),
    zone: used,
    ...optional('status', status),
    ...optional('subStatus', subStatus),
    ...optional('detail', said),
    ...optional('place', place),
  };
}

function rowOf(event: Json): Partial<DhlRow> {
  if (typeof event.statusCode !== 'string') throw new WrongField('statusCode', 'It is missing.');
  const code = event.statusCode.toLowerCase();
  const words = [event.status, event.description].map((text) => lenientText(text, maxDetail) ?? '').join(' ');
  return dhlRows.find((row) => row.code === code && (row.words?.test(words.toLowerCase()) ?? true)) ?? {};
}

/** `returnFlag` is about the shipment, so only its last event is sure to be on the way back. */
function backOf({ returnFlag }: Json, { status }: Trace): Partial<Trace> {
  if (returnFlag !== true) return {};
  if (status === 'DELIVERED') return { status: 'RETURNED', subStatus: 'TO_SENDER' };
  return status === 'IN_TRANSIT' || status === 'OUT_FOR_DELIVERY'
    ? { status: 'RETURNING', subStatus: 'UNDELIVERABLE' }
    : {};
}

function proofOf(shipment: Json): Partial<Trace> {
  const proof = objectAt(objectAt(shipment, 'details'), 'proofOfDelivery');
  const { name, givenName, familyName } = objectAt(proof, 'signed');
  const signedBy = lenientText(name ?? [givenName, familyName].filter(Boolean).join(' '), 100);
  return { ...optional('photoUrl', lenientUrl(proof.documentUrl)), ...optional('signedBy', signedBy) };
}

function etaOf(shipment: Json): Date | undefined {
  const { estimatedThrough } = objectAt(shipment, 'estimatedDeliveryTimeFrame');
  const text = estimatedThrough ?? shipment.estimatedTimeOfDelivery;
  if (text === undefined || text === null) return undefined;
  const country = countryOf(objectAt(shipment, 'destination'));
  const full = typeof text === 'string' && /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T23:59:00` : text;
  try {
    return new Date(timeOf(full, 'estimatedTimeOfDelivery', zoneAt(full, country)).at);
  } catch (error) {
    // It is an extra: without it the events are as good.
    if (error instanceof WrongField) return undefined;
    throw error;
  }
}

const countryOf = (place: Json): string | undefined => lenientCountry(objectAt(place, 'address').countryCode);

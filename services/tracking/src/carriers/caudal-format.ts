/** Our own format, for carriers that have none and for programs: {"traces": [...]}, the fields of a trace as JSON. */
import { isStatus, isSubStatus, subStatuses } from '../domain/sub-statuses.ts';
import type { Place, Status, Trace } from '../domain/trace.ts';
import {
  type Json,
  lenientText,
  lenientUrl,
  listAt,
  maxDetail,
  maxPlaceName,
  optional,
  readBody,
  readEach,
  timeOf,
  trackingNumberOf,
  WrongField,
  zoneOf,
} from './fields.ts';
import type { CarrierAdapter } from './port.ts';
import { signed } from './signature.ts';

const fields = new Set([
  'trackingNumber',
  'eventId',
  'happenedAt',
  'zone',
  'status',
  'subStatus',
  'detail',
  'place',
  'eta',
  'photoUrl',
  'signedBy',
]);

/** The adapter of a carrier that speaks it. */
export const caudalFormat = (carrier: string): CarrierAdapter => ({
  name: carrier,
  parse(body, now) {
    const read = readBody(body);
    if ('refusal' in read) return { traces: [], refused: [read.refusal] };
    const { json } = read;
    if (!Array.isArray(json.traces))
      return { traces: [], refused: [{ field: 'traces', problem: 'It is missing: send {"traces": [...]}.' }] };
    return readEach(listAt(json, 'traces'), 'traces', (value) => [readTrace(value, carrier, now)]);
  },
  verify: signed(carrier),
  poll: {
    request: ({ base, trackingNumber, credential }) => ({
      url: `${base}/v1/traces?trackingNumber=${encodeURIComponent(trackingNumber)}`,
      headers: { authorization: `Bearer ${credential}` },
    }),
  },
});

function readTrace(value: Json, carrier: string, receivedAt: Date): Trace {
  const unknown = Object.keys(value).find((field) => !fields.has(field));
  if (unknown !== undefined)
    throw new WrongField(
      lenientText(unknown, 64) ?? '',
      `There is no such field; there are ${[...fields].join(', ')}.`,
    );
  const zone = zoneOf(value.zone, 'zone');
  const { at, zone: used } = timeOf(value.happenedAt, 'happenedAt', zone);
  const status = statusOf(value.status);
  const place = placeOf(value.place);
  return {
    carrier,
    trackingNumber: trackingNumberOf(value.trackingNumber, 'trackingNumber'),
    ...optional('eventId', strictText(value, 'eventId', 100)),
    happenedAt: new Date(at),
    zone: zone ?? used,
    ...optional('status', status),
    ...optional('subStatus', subStatusOf(value.subStatus, status)),
    ...optional('detail', strictText(value, 'detail', maxDetail)),
    ...optional('place', place),
    ...optional('eta', value.eta === undefined ? undefined : new Date(timeOf(value.eta, 'eta', zone).at)),
    ...optional('photoUrl', photoOf(value.photoUrl)),
    ...optional('signedBy', strictText(value, 'signedBy', 100)),
    receivedAt,
  };
}

function statusOf(value: unknown): Status | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || !isStatus(value))
    throw new WrongField(
      'status',
      `It is none of ${Object.keys(subStatuses).join(', ')}. Leave it out if there is none.`,
    );
  return value;
}

function subStatusOf(value: unknown, status: Status | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (status === undefined) throw new WrongField('subStatus', 'There is no status that it could belong to.');
  if (typeof value !== 'string' || !isSubStatus(status, value))
    throw new WrongField('subStatus', `It is none of ${subStatuses[status].join(', ')}, those of ${status}.`);
  return value;
}

function placeOf(value: unknown): Place | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null) throw new WrongField('place', 'It is not an object.');
  const { country, latitude, longitude } = value as Json;
  if (country !== undefined && (typeof country !== 'string' || !/^[A-Z]{2}$/.test(country)))
    throw new WrongField('place.country', 'It is not a country of two capital letters (ISO 3166-1).');
  if ((latitude === undefined) !== (longitude === undefined))
    throw new WrongField('place', 'It has one of latitude and longitude: give both or none.');
  return {
    ...optional('name', strictText(value as Json, 'name', maxPlaceName, 'place.')),
    ...optional('country', country),
    ...optional('latitude', degrees(latitude, 90, 'place.latitude')),
    ...optional('longitude', degrees(longitude, 180, 'place.longitude')),
  };
}

function degrees(value: unknown, max: number, field: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || Math.abs(value) > max)
    throw new WrongField(field, `It is not a number from -${max} to ${max}.`);
  return value;
}

function photoOf(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const url = lenientUrl(value);
  if (!url) throw new WrongField('photoUrl', 'It is not an https URL of at most 490 characters, without spaces.');
  return url;
}

/** Text of a bounded length; its length is checked before anything else is done with it. */
function strictText(value: Json, field: string, max: number, path = ''): string | undefined {
  const text = value[field];
  if (text === undefined) return undefined;
  if (typeof text !== 'string' || text.length > 2 * max || [...text].length > max)
    throw new WrongField(path + field, `It is not a text of at most ${max} characters.`);
  return lenientText(text, max);
}

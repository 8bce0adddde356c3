/**
 * UPS: the Tracking API's answer, {"trackResponse": {"shipment": [{"package": [...]}]}}, and the events that Track Alert pushes. A
 * package has a number of its own. Times are local, with the same in UTC beside them in newer answers; there are no ids of events.
 * UPS can't sign its pushes: it repeats the credential of the subscription in each.
 */
import { derivedId } from '@caudal/kernel/ids.ts';
import { isStatus } from '../domain/sub-statuses.ts';
import type { Trace } from '../domain/trace.ts';
import { type Event, expectation } from './expectation.ts';
import {
  isJson,
  type Json,
  lenientCountry,
  lenientText,
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
import { credentialIn } from './signature.ts';
import { upsStatusCodes, upsTypes } from './ups-codes.ts';

/** The adapter. */
export const ups = (carrier: string): CarrierAdapter => ({
  name: carrier,
  parse(body, now) {
    const read = readBody(body);
    if ('refusal' in read) return { traces: [], refused: [read.refusal] };
    const { json } = read;
    if (isJson(json.activityStatus)) return readEach([json], 'alert', (alert) => [readAlert(alert, carrier, now)]);
    if (!isJson(json.trackResponse))
      return { traces: [], refused: [{ field: 'trackResponse', problem: 'It is missing: this is no answer of UPS.' }] };
    const packages = listAt(json.trackResponse, 'shipment').flatMap((each) =>
      isJson(each) ? listAt(each, 'package') : [],
    );
    const refused: Parsed['refused'] = [];
    const parsed = readEach(packages, 'package', (each) => {
      const ofPackage = readPackage(each, carrier, now);
      refused.push(...ofPackage.refused);
      return ofPackage.traces;
    });
    return { traces: parsed.traces, refused: [...parsed.refused, ...refused] };
  },
  verify: credentialIn('credential'),
  poll: {
    tokenPath: '/security/v1/oauth/token',
    request: ({ base, trackingNumber, credential }) => ({
      url: `${base}/api/track/v1/details/${encodeURIComponent(trackingNumber)}?locale=en_US`,
      headers: {
        authorization: `Bearer ${credential}`,
        transid: derivedId(trackingNumber).replaceAll('-', ''),
        transactionsrc: 'caudal',
      },
    }),
  },
});

function readPackage(each: Json, carrier: string, receivedAt: Date): Parsed {
  const trackingNumber = trackingNumberOf(each.trackingNumber, 'trackingNumber');
  const common = { carrier, trackingNumber, receivedAt };
  const parsed = readEach(listAt(each, 'activity'), `${trackingNumber}.activity`, (activity) => {
    const address = objectAt(objectAt(activity, 'location'), 'address');
    const country = lenientCountry(address.countryCode) ?? lenientCountry(address.country);
    return [{ ...common, ...readActivity(activity, objectAt(activity, 'status'), cityOf(address), country) }];
  });
  const last = parsed.traces.toSorted((a, b) => b.happenedAt.getTime() - a.happenedAt.getTime())[0];
  if (!last) return parsed;
  const signedBy = lenientText(objectAt(each, 'deliveryInformation').receivedBy, 100);
  if (last.status === 'DELIVERED' && signedBy) last.signedBy = signedBy;
  const eta = last.status === 'DELIVERED' ? undefined : etaOf(each);
  if (eta) parsed.traces.push({ ...common, ...expectation(eta, last, receivedAt) });
  return parsed;
}

/** Track Alert names the same things differently. */
function readAlert(alert: Json, carrier: string, receivedAt: Date): Trace {
  const address = objectAt(alert, 'activityLocation');
  const activity = {
    date: alert.localActivityDate,
    time: alert.localActivityTime,
    gmtDate: alert.gmtActivityDate,
    gmtTime: alert.gmtActivityTime,
  };
  const country = lenientCountry(address.country) ?? lenientCountry(address.countryCode);
  return {
    carrier,
    trackingNumber: trackingNumberOf(alert.trackingNumber, 'trackingNumber'),
    receivedAt,
    ...readActivity(activity, objectAt(alert, 'activityStatus'), cityOf(address), country),
  };
}

function readActivity(activity: Json, said: Json, city: string | undefined, country: string | undefined): Event {
  const utc = isoOf(activity.gmtDate, activity.gmtTime);
  const local = isoOf(activity.date, activity.time);
  const parsed = utc ? timeOf(utc, 'gmtDate', '+00:00') : timeOf(local, 'date', zoneAt(local, country));
  const meaning = meaningOf(said);
  const place = city || country ? { ...optional('name', city), ...optional('country', country) } : undefined;
  return {
    // `statusCode` is not in alerts; `type` and `code` are the same in both. What both say is one trace only if it means the same.
    eventId: derivedId(
      ...['ups', parsed.at, String(said.type), String(said.code), city ?? ''],
      ...[meaning.status ?? '', meaning.subStatus ?? ''],
    ),
    happenedAt: new Date(parsed.at),
    zone:
      typeof activity.gmtOffset === 'string' && /^[+-]\d\d:\d\d$/.test(activity.gmtOffset)
        ? activity.gmtOffset
        : parsed.zone,
    ...meaning,
    ...optional('detail', lenientText(said.description, maxDetail)),
    ...optional('place', place),
  };
}

function meaningOf({ statusCode, type }: Json): Pick<Trace, 'status' | 'subStatus'> {
  if (typeof type !== 'string' && typeof statusCode !== 'string') throw new WrongField('status.type', 'It is missing.');
  const [status = '', subStatus] = (upsStatusCodes[String(statusCode)] ?? upsTypes[String(type).trim()] ?? '').split(
    '/',
  );
  return isStatus(status) ? { status, ...optional('subStatus', subStatus) } : {};
}

/** `20260303` and `093000`, or with signs between the digits. */
function isoOf(date: unknown, time: unknown): string | undefined {
  const day = /^(\d{4})-?(\d\d)-?(\d\d)$/.exec(String(date ?? ''));
  const clock = /^(\d\d):?(\d\d):?(\d\d)?$/.exec(String(time ?? ''));
  if (!day || !clock) return undefined;
  return `${day[1]}-${day[2]}-${day[3]}T${clock[1]}:${clock[2]}:${clock[3] ?? '00'}`;
}

/** A date that was rescheduled counts more than the first one. */
function etaOf(each: Json): Date | undefined {
  const dates = listAt(each, 'deliveryDate').filter(isJson);
  const date = (dates.find(({ type }) => type === 'RDD') ?? dates.find(({ type }) => type === 'SDD'))?.date;
  const iso = isoOf(date, objectAt(each, 'deliveryTime').endTime) ?? isoOf(date, '235900');
  if (!iso) return undefined;
  const destination = listAt(each, 'packageAddress')
    .filter(isJson)
    .find(({ type }) => type === 'DESTINATION');
  const address = objectAt(destination ?? {}, 'address');
  const country = lenientCountry(address.countryCode) ?? lenientCountry(address.country);
  try {
    return new Date(timeOf(iso, 'deliveryDate', zoneAt(iso, country)).at);
  } catch (error) {
    if (error instanceof WrongField) return undefined;
    throw error;
  }
}

const cityOf = (address: Json): string | undefined => {
  const parts = [address.city, address.stateProvince].map((part) => lenientText(part, 100)).filter(Boolean);
  return lenientText(parts.join(', '), maxPlaceName);
};

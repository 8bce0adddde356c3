/** Reads the values of a line of a file of traces. Pure. What the status and the texts may be, the system itself says. */
import { isZone, parseTime } from '@caudal/kernel/zones.ts';

/** A trace as a file has it. */
export interface FileTrace {
  carrier: string;
  trackingNumber: string;
  eventId?: string;
  happenedAt: Date;
  /** An IANA name or an offset. */
  zone: string;
  status?: string;
  subStatus?: string;
  detail?: string;
  place?: { name?: string; country?: string; latitude?: number; longitude?: number };
  eta?: Date;
  photoUrl?: string;
  signedBy?: string;
}

export interface FieldProblem {
  /** The column; a member of the JSON goes by the name of its column. */
  field: string;
  /** What is wrong, and how it should be. */
  problem: string;
}

/** What a line may leave out if it is the same for the whole file. */
export interface TraceDefaults {
  carrier?: string;
  zone?: string;
}

/** The columns of a CSV. In lines of JSON, those of the place are members of `place`, the first as `name`. */
export const columns = [
  'carrier',
  'trackingNumber',
  'eventId',
  'happenedAt',
  'zone',
  'status',
  'subStatus',
  'detail',
  'placeName',
  'country',
  'latitude',
  'longitude',
  'eta',
  'photoUrl',
  'signedBy',
] as const;

type Column = (typeof columns)[number];
export type Values = Partial<Record<Column, unknown>>;

/** The columns that are texts of the trace, as they stand. */
const texts = ['eventId', 'status', 'subStatus', 'detail', 'photoUrl', 'signedBy'] as const;
const maxText = 2_000;

/** The trace, or the first thing that is wrong. */
export function readTrace(values: Values, defaults: TraceDefaults): FileTrace | FieldProblem {
  const wrong = Object.entries(values).find(
    ([name, value]) =>
      value !== undefined && typeof value !== 'string' && !(isDegrees(name) && typeof value === 'number'),
  );
  if (wrong) return { field: wrong[0], problem: `It is not a ${isDegrees(wrong[0]) ? 'number' : 'text'}.` };
  const value = (name: Column) => {
    const text = String(values[name] ?? '').trim();
    return text === '' ? undefined : text;
  };
  const carrier = value('carrier') ?? defaults.carrier;
  if (!carrier || !/^[a-z][a-z0-9-]{0,31}$/.test(carrier))
    return { field: 'carrier', problem: 'Give the name of a carrier: 1 to 32 small letters, digits and "-".' };
  const trackingNumber = value('trackingNumber')?.replace(/\s+/g, '');
  if (!trackingNumber || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(trackingNumber))
    return { field: 'trackingNumber', problem: 'Give a number of 1 to 64 letters, digits, ".", "_" and "-".' };
  const zone = value('zone') ?? defaults.zone;
  if (zone !== undefined && !isZone(zone))
    return {
      field: 'zone',
      problem: `"${zone.slice(0, 64)}" is not a zone: give a name, as Europe/Berlin, or an offset, as +01:00.`,
    };
  const happenedAt = parseTime(value('happenedAt') ?? '', zone);
  if (!happenedAt) return { field: 'happenedAt', problem: noTime };
  const eta = value('eta') === undefined ? undefined : parseTime(value('eta')!, zone);
  if (value('eta') !== undefined && !eta) return { field: 'eta', problem: noTime };
  const long = texts.find((name) => (value(name)?.length ?? 0) > maxText);
  if (long) return { field: long, problem: `It has more than ${maxText} characters.` };
  const place = placeOf(value);
  if ('problem' in place) return place;
  const said = Object.fromEntries(texts.flatMap((name) => (value(name) === undefined ? [] : [[name, value(name)]])));
  return {
    carrier,
    trackingNumber,
    happenedAt: new Date(happenedAt.at),
    zone: zone ?? happenedAt.zone,
    ...said,
    ...(Object.keys(place).length > 0 && { place }),
    ...(eta && { eta: new Date(eta.at) }),
  };
}

const noTime = 'Give a time in ISO 8601, as 2026-03-03T09:00:00+01:00; one without an offset needs a zone.';

function placeOf(value: (name: Column) => string | undefined): NonNullable<FileTrace['place']> | FieldProblem {
  const name = value('placeName');
  const country = value('country');
  if (country !== undefined && !/^[A-Z]{2}$/.test(country))
    return { field: 'country', problem: 'Give a country of two capital letters (ISO 3166-1).' };
  if (name !== undefined && name.length > maxText)
    return { field: 'placeName', problem: `It has more than ${maxText} characters.` };
  const degrees: { latitude?: number; longitude?: number } = {};
  for (const [column, max] of [
    ['latitude', 90],
    ['longitude', 180],
  ] as const) {
    const text = value(column);
    if (text === undefined) continue;
    const number = /^[+-]?\d{1,3}(\.\d{1,20})?$/.test(text) ? Number(text) : Number.NaN;
    if (!(Math.abs(number) <= max)) return { field: column, problem: `Give a number from -${max} to ${max}.` };
    degrees[column] = number;
  }
  if ((degrees.latitude === undefined) !== (degrees.longitude === undefined))
    return { field: 'latitude', problem: 'Give both latitude and longitude, or neither.' };
  return { ...(name !== undefined && { name }), ...(country !== undefined && { country }), ...degrees };
}

const isDegrees = (name: string): boolean => name === 'latitude' || name === 'longitude';

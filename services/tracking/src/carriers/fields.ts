/** Reads values that come from outside, within the bounds of a trace. */
import { isZone, type ParsedTime, parseTime } from '@caudal/kernel/zones.ts';
import { zoneOfCountry } from '../domain/zones.ts';
import type { Parsed, Refusal } from './port.ts';

/** Bounds the work for one body. */
export const maxTraces = 1_000;
export const maxDetail = 500;
export const maxPlaceName = 200;

/** A value that can't be used. Caught by readEach, which makes a refusal of it. */
export class WrongField extends Error {
  readonly field: string;

  constructor(field: string, problem: string) {
    super(problem);
    this.field = field;
  }
}

export type Json = Record<string, unknown>;

export const isJson = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The field, unless there is no value. */
export const optional = <Name extends string, Value>(name: Name, value: Value | undefined) =>
  (value === undefined ? {} : { [name]: value }) as { [Field in Name]?: Value };

/** An object's member that is an object; an empty one for anything else. */
export const objectAt = (value: Json, field: string): Json => {
  const member = value[field];
  return isJson(member) ? member : {};
};

/** An object's member that is a list; an empty one for anything else. */
export const listAt = (value: Json, field: string): unknown[] => {
  const member = value[field];
  return Array.isArray(member) ? member : [];
};

/** The object in a body of JSON, or why it is none. */
export function readBody(body: Uint8Array): { json: Json } | { refusal: Refusal } {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return { refusal: { field: '', problem: 'The body is not JSON in UTF-8.' } };
  }
  return isJson(value) ? { json: value } : { refusal: { field: '', problem: 'The body is not a JSON object.' } };
}

/** Calls `read` for each value; what it refuses by WrongField does not hinder the others. */
export function readEach(values: readonly unknown[], path: string, read: (value: Json) => Parsed['traces']): Parsed {
  const parsed: Parsed = { traces: [], refused: [] };
  for (const [index, value] of values.slice(0, maxTraces).entries()) {
    try {
      if (!isJson(value)) throw new WrongField('', 'It is not a JSON object.');
      parsed.traces.push(...read(value));
    } catch (error) {
      if (!(error instanceof WrongField)) throw error;
      const field = [`${path}[${index}]`, error.field].filter(Boolean).join('.');
      parsed.refused.push({ index, field, problem: error.message });
    }
  }
  if (values.length > maxTraces)
    parsed.refused.push({
      field: path,
      problem: `It has ${values.length} items: send at most ${maxTraces} at a time.`,
    });
  return parsed;
}

/** Text in one line, without characters that control it or turn its direction, cut to its bound; undefined for anything else and for nothing. */
export function lenientText(value: unknown, max: number): string | undefined {
  if (typeof value !== 'string') return undefined;
  const text = value
    .slice(0, 4 * max)
    .toWellFormed()
    .replace(/[\p{Cc}\p{Co}\u2028-\u202e\u2066-\u2069]+/gu, ' ')
    .trim();
  return [...text].slice(0, max).join('').trim() || undefined;
}

/** A country of two capital letters; undefined for anything else. */
export const lenientCountry = (value: unknown): string | undefined =>
  typeof value === 'string' && /^[A-Za-z]{2}$/.test(value) ? value.toUpperCase() : undefined;

/** A URL that a page may show; undefined for anything else. */
export function lenientUrl(value: unknown): string | undefined {
  return typeof value === 'string' && value.length <= 490 && URL.canParse(value) && /^https:\/\/[!-~]+$/.test(value)
    ? value
    : undefined;
}

/** The number of a parcel, as carriers print it. */
export function trackingNumberOf(value: unknown, field: string): string {
  if (typeof value === 'number' && !Number.isSafeInteger(value))
    throw new WrongField(field, 'It is a number of which JSON may have lost digits: send it as text.');
  const text = typeof value === 'string' || typeof value === 'number' ? String(value).replace(/\s+/g, '') : '';
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text))
    throw new WrongField(field, 'It is not a tracking number: 1 to 64 letters, digits, ".", "_" and "-".');
  return text;
}

/** A time with an offset, or local in `zone`. */
export function timeOf(value: unknown, field: string, zone?: string): ParsedTime {
  const parsed = typeof value === 'string' ? parseTime(value, zone) : undefined;
  if (!parsed)
    throw new WrongField(
      field,
      'It is not a time: use ISO 8601, as 2026-03-03T09:00:00+01:00, or a local time and `zone`.',
    );
  if (parsed.at < Date.UTC(2000) || parsed.at >= Date.UTC(2100))
    throw new WrongField(field, 'It is not between the years 2000 and 2100.');
  return parsed;
}

export function zoneOf(value: unknown, field: string): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || !isZone(value))
    throw new WrongField(field, 'It is not a time zone: use a name, as Europe/Berlin, or an offset, as +01:00.');
  return value;
}

/** The zone of a country at about that time; UTC if nothing is known. */
export function zoneAt(time: unknown, country: string | undefined): string {
  const about = typeof time === 'string' ? Date.parse(`${time.slice(0, 10)}T12:00:00Z`) : Number.NaN;
  return (country && !Number.isNaN(about) && zoneOfCountry(country, about)?.zone) || '+00:00';
}

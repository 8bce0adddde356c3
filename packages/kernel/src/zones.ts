/**
 * Times on the wall of a place, and their instants, by the database of time zones that Intl has. A zone is an IANA name
 * (`Europe/Berlin`) or an offset (`+02:00`). Times are milliseconds; a local time is that of the wall as if it were UTC.
 */

/** Formats are large; more zones than this are in use only if someone invents offsets, which need no format. */
const maxFormats = 100;
const formats = new Map<string, Intl.DateTimeFormat>();
const anOffset = /^([+-])(\d\d):?(\d\d)$/;

/** Whether it is a zone that the functions of this module know. */
export function isZone(zone: string): boolean {
  if (fixedOffset(zone) !== undefined) return true;
  try {
    return /^[A-Za-z]/.test(zone) && formatOf(zone) !== undefined;
  } catch {
    return false;
  }
}

/** How far the zone's wall is ahead of UTC at the instant, in milliseconds. Throws RangeError if it is no zone. */
export function offsetMs(zone: string, at: number): number {
  const fixed = fixedOffset(zone);
  if (fixed !== undefined) return fixed;
  const text = formatOf(zone)
    .formatToParts(at)
    .find(({ type }) => type === 'timeZoneName')!.value;
  // `GMT` alone is UTC; of the years before standard time, `GMT+00:53:28`.
  const [, sign, hours = '0', minutes = '0', seconds = '0'] = /^GMT([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(text) ?? [];
  const ms = (Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds)) * 1_000;
  return sign === '-' ? -ms : ms;
}

/** What the zone's wall shows at the instant. */
export const localOf = (zone: string, at: number): number => at + offsetMs(zone, at);

/**
 * The instant of a local time. When clocks are put back, a time has two instants: it is always the same one of them. A time that is left
 * out when they are put forward counts as the hour after it.
 */
export function instantOf(zone: string, local: number): number {
  const guess = local - offsetMs(zone, local);
  return local - offsetMs(zone, guess);
}

export interface ParsedTime {
  at: number;
  /** The zone or offset that made an instant of it. */
  zone: string;
}

const isoTime = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?$/;

/**
 * The instant of an ISO 8601 time. One without an offset is local in `zone`; without that it has none. Undefined if it is not a
 * time in the calendar.
 */
export function parseTime(text: string, zone?: string): ParsedTime | undefined {
  const [, day, minute, second = '00', fraction = '', offset] = isoTime.exec(text) ?? [];
  const used = offset === 'Z' ? '+00:00' : (offset ?? zone);
  if (!day || used === undefined) return undefined;
  if (offset && offset !== 'Z' && fixedOffset(offset) === undefined) return undefined;
  const plain = `${day}T${minute}:${second}`;
  const local = Date.parse(`${plain}Z`);
  // Date turns the 30th of February into the 1st of March.
  if (Number.isNaN(local) || new Date(local).toISOString().slice(0, 19) !== plain) return undefined;
  return { at: instantOf(used, local) + Number(fraction.padEnd(3, '0').slice(0, 3)), zone: used };
}

function fixedOffset(zone: string): number | undefined {
  const [, sign, hours, minutes] = anOffset.exec(zone) ?? [];
  if (!sign || Number(hours) > 14 || Number(minutes) > 59) return undefined;
  const ms = (Number(hours) * 60 + Number(minutes)) * 60_000;
  return sign === '-' ? 0 - ms : ms;
}

function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' });
    if (formats.size >= maxFormats) formats.clear();
    formats.set(zone, format);
  }
  return format;
}

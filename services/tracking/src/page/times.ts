/** Times on the wall of the place where something happens, for people. */
import { isZone, localOf, offsetMs } from '@caudal/kernel/zones.ts';
import { zoneOfCountry } from '../domain/zones.ts';

export const utc = '+00:00';
const minuteMs = 60_000;

/** What is known of where and when. */
interface Seen {
  at: number;
  zone?: string | undefined;
  country?: string | undefined;
}

/** The zone that the carrier has named or meant; else that of the country; else UTC. An offset of zero is often said and seldom meant. */
export function zoneOfTrace({ at, zone, country }: Seen): string {
  const named = zone !== undefined && isZone(zone) ? zone : undefined;
  if (named !== undefined && (/^[A-Za-z]/.test(named) || offsetMs(named, at) !== 0)) return named;
  return (country && zoneOfCountry(country, at)?.zone) || named || utc;
}

interface LocalTime {
  /** `Tuesday, 1 December 2026` */
  day: string;
  /** `14:05 UTC+1` */
  time: string;
  /** RFC 3339 with the offset. */
  iso: string;
}

/** A carrier may write any time; those beyond are shown as these. */
const range = [Date.UTC(1901, 0, 2), Date.UTC(9999, 11, 30)] as const;

/** What the zone's wall shows. */
export function localTime(language: string, zone: string, instant: number): LocalTime {
  const at = Math.min(Math.max(instant, range[0]), range[1]);
  const local = localOf(zone, at);
  const offset = offsetMs(zone, at);
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 3_600_000), Math.floor(Math.abs(offset) / minuteMs) % 60];
  const two = (n: number) => String(n).padStart(2, '0');
  const sign = offset < 0 ? '-' : '+';
  const name = offset === 0 ? 'UTC' : `UTC${sign === '-' ? '\u2212' : '+'}${hours}${minutes ? `:${two(minutes)}` : ''}`;
  const { days, times } = formatsOf(language);
  return {
    day: days.format(local),
    time: `${times.format(local)} ${name}`,
    iso: `${new Date(local).toISOString().slice(0, 19)}${sign}${two(hours)}:${two(minutes)}`,
  };
}

interface Formats {
  days: Intl.DateTimeFormat;
  times: Intl.DateTimeFormat;
}

/** Languages are few. */
const known = new Map<string, Formats>();

function formatsOf(language: string): Formats {
  let formats = known.get(language);
  if (!formats) {
    // Local times are written as if they were UTC.
    const day = { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' } as const;
    formats = {
      days: new Intl.DateTimeFormat(language, { timeZone: 'UTC', ...day }),
      times: new Intl.DateTimeFormat(language, { timeZone: 'UTC', hour: '2-digit', minute: '2-digit' }),
    };
    known.set(language, formats);
  }
  return formats;
}

/**
 * When a parcel arrives: what its carrier says, else what has been learnt from the parcels before it. docs/parcel-eta.md.
 *
 * A sketch has two bounded histograms: business days in transit, and the hour of the day at the place of delivery. They are counts,
 * so the order of learning does not matter, and sketches of several months are added. Rejected: a t-digest over hours. It is not the
 * same for every order, and quantiles of hours fall into nights and Sundays, when nothing is delivered.
 */
import { instantOf, localOf } from '@caudal/kernel/zones.ts';

const dayMs = 86_400_000;
const hourMs = 3_600_000;
/** The last bucket: so many business days, or more. */
export const maxDays = 60;
/** Fewer parcels than this say less than those of a wider lane. */
const minSamples = 20;
/** Bounds the walk through a calendar; longer transits are in the last bucket anyway. */
const maxCalendarDays = 150;

/** On which days parcels are delivered. */
export interface Calendar {
  /** ISO 8601: 1 is Monday. */
  weekdays: readonly number[];
  /** Local days without delivery, as `2026-12-25`. */
  holidays?: ReadonlySet<string>;
}

/** What most carriers do. */
export const mondayToSaturday: Calendar = { weekdays: [1, 2, 3, 4, 5, 6] };

export interface Sketch {
  /** How many parcels took 0, 1, ... business days. */
  days: number[];
  /** How many were delivered in each of the 24 hours. */
  hours: number[];
}

/** One parcel that has arrived. */
export interface Transit {
  startedAt: number;
  deliveredAt: number;
  /** Of the place of delivery. */
  zone: string;
  calendar: Calendar;
}

export interface Lane {
  carrier: string;
  /** Express, say; undefined if it is not known. */
  service?: string | undefined;
  /**
   * Zones of origin and destination, as far as they are known; how large a zone is, is the caller's choice: a country, or the start of a
   * postal code.
   */
  from?: string | undefined;
  to?: string | undefined;
}

export interface EstimateOptions {
  /** Of the keys of the lane, in their order; undefined where nothing has been learnt. */
  sketches: readonly (Sketch | undefined)[];
  /** What the carrier says. */
  carrierEta?: number;
  startedAt?: number;
  now: number;
  zone: string;
  calendar: Calendar;
}

export interface Estimate {
  source: 'CARRIER' | 'LEARNT';
  /** Of 10 parcels one arrives before, and one after these. */
  earliest: number;
  likely: number;
  latest: number;
  sureness: 'HIGH' | 'MEDIUM' | 'LOW';
  /** How many parcels it was learnt from; 0 if the carrier said it. */
  samples: number;
  /** Business days between the 10th and the 90th percentile. */
  spreadDays: number;
  /** The carrier's time is over. */
  late: boolean;
}

/** Where a sketch is kept: by the narrowest lane that is known, and by wider ones for those of which little is known. */
export function sketchKeys({ carrier, service, from, to }: Lane): string[] {
  const keys = [
    ['service', carrier, from, to, service],
    ['lane', carrier, from, to],
    ['destination', carrier, to],
    ['carrier', carrier],
  ];
  return keys.filter((parts) => !parts.includes(undefined)).map((parts) => JSON.stringify(parts));
}

/** The sketch with one parcel more. Learn each once: a count does not know whom it has counted. */
export function learn(sketch: Sketch | undefined, { startedAt, deliveredAt, zone, calendar }: Transit): Sketch {
  const start = localDay(zone, startedAt);
  const end = localDay(zone, deliveredAt);
  const days = Math.min(businessDays(start, end, calendar), maxDays);
  const hour = Math.floor((localOf(zone, deliveredAt) - end * dayMs) / hourMs);
  return addSketches(sketch ?? emptySketch(), { days: oneAt(days, maxDays + 1), hours: oneAt(hour, 24) });
}

/** The sketch of all parcels of both. */
export const addSketches = (a: Sketch, b: Sketch): Sketch => ({
  days: a.days.map((count, n) => count + b.days[n]!),
  hours: a.hours.map((count, n) => count + b.hours[n]!),
});

export const emptySketch = (): Sketch => ({ days: Array(maxDays + 1).fill(0), hours: Array(24).fill(0) });

const oneAt = (place: number, length: number): number[] => Array.from({ length }, (_, n) => (n === place ? 1 : 0));

/**
 * When it arrives. The carrier's time counts until it is over; then, and without one, what has been learnt: of the parcels that took
 * at least as long as this one has already. Undefined if nothing is known, or if it takes longer than any parcel before.
 */
export function estimate(options: EstimateOptions): Estimate | undefined {
  const { carrierEta, now } = options;
  const late = carrierEta !== undefined && carrierEta < now;
  if (carrierEta !== undefined && !late) {
    const said = { earliest: carrierEta, likely: carrierEta, latest: carrierEta };
    return { source: 'CARRIER', ...said, sureness: 'MEDIUM', samples: 0, spreadDays: 0, late };
  }
  const learnt = learntEstimate(options);
  return learnt && { ...learnt, late };
}

function learntEstimate(options: EstimateOptions): Omit<Estimate, 'late'> | undefined {
  const { sketches, startedAt, now, zone, calendar } = options;
  const sketch = sketches.find((each) => each && sum(each.days) >= minSamples) ?? sketches.findLast(Boolean);
  if (!sketch || startedAt === undefined) return undefined;
  const start = localDay(zone, startedAt);
  const today = localDay(zone, now);
  const hourNow = Math.floor((localOf(zone, now) - today * dayMs) / hourMs);
  const elapsed = businessDays(start, today, calendar);
  // In the evening, today's deliveries are over.
  const todayIsOver = hourNow >= quantile(sketch.hours, 0.95) || !isBusinessDay(today, calendar);
  const left = sketch.days.map((count, days) => (days < elapsed || (days === elapsed && todayIsOver) ? 0 : count));
  const samples = sum(left);
  if (samples === 0) return undefined;
  const time = (q: number, addHours: number) => {
    const day = businessDayAfter(start, quantile(left, q), calendar);
    return Math.max(now, instantOf(zone, day * dayMs + (quantile(sketch.hours, q) + addHours) * hourMs));
  };
  const spreadDays = quantile(left, 0.9) - quantile(left, 0.1);
  const window = { earliest: time(0.1, 0), likely: time(0.5, 0.5), latest: time(0.9, 1) };
  return { source: 'LEARNT', ...window, sureness: surenessOf(samples, spreadDays), samples, spreadDays };
}

function surenessOf(samples: number, spreadDays: number): Estimate['sureness'] {
  if (samples >= 200 && spreadDays <= 1) return 'HIGH';
  return samples >= minSamples && spreadDays <= 3 ? 'MEDIUM' : 'LOW';
}

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);

/** The first bucket up to which at least this share is counted. */
function quantile(counts: readonly number[], q: number): number {
  const needed = q * sum(counts);
  let seen = 0;
  for (const [bucket, count] of counts.entries()) {
    seen += count;
    if (count > 0 && seen >= needed) return bucket;
  }
  return counts.length - 1;
}

/** Days since 1970 on the wall of the zone. */
const localDay = (zone: string, at: number): number => Math.floor(localOf(zone, at) / dayMs);

/** 1970 began on a Thursday. */
function isBusinessDay(day: number, { weekdays, holidays }: Calendar): boolean {
  const weekday = ((((day + 3) % 7) + 7) % 7) + 1;
  return weekdays.includes(weekday) && !holidays?.has(new Date(day * dayMs).toISOString().slice(0, 10));
}

/** How many business days begin after `from`, up to `to`. */
function businessDays(from: number, to: number, calendar: Calendar): number {
  let days = 0;
  for (let day = from + 1; day <= Math.min(to, from + maxCalendarDays); day++) if (isBusinessDay(day, calendar)) days++;
  return days;
}

/** The day of which businessDays from `from` is `days`. */
function businessDayAfter(from: number, days: number, calendar: Calendar): number {
  let day = from;
  for (let left = days; left > 0 && day < from + maxCalendarDays; ) if (isBusinessDay(++day, calendar)) left--;
  return day;
}

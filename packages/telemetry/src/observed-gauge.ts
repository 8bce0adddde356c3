/**
 * Gauges whose value must be read, for example by a query. A scrape starts a reading, whose cost is bounded whatever
 * the number of scrapes. A last value that can't be renewed is dropped, since an old value that seems new is worse
 * than none. See README, Gauges that are read.
 */
import type { Running } from '@caudal/kernel/lifetime.ts';
import { within } from '@caudal/kernel/time.ts';
import { logger } from './log.ts';
import { counter } from './metrics.ts';

const log = logger('gauges');
const failures = counter(
  'gauge_read_failures_total',
  "Readings of a context's gauge that failed or took too long, by gauge",
);

/** One value of a gauge with labels. */
export interface Sample {
  labels: Record<string, string>;
  value: number;
}

export interface ObservedGauge {
  /** The name in Prometheus. It begins with the context and ends with the unit: `orders_pending_oldest_seconds`. */
  name: string;
  /** A sentence. */
  description: string;
  /** A base unit: seconds, bytes, or 1 for a count or a ratio. */
  unit: 's' | 'By' | '1';
  /** The names of its labels. Their values must be few and known beforehand: no ids. */
  labels?: string[];
}

export interface ObserveOptions extends ObservedGauge {
  /** Reads the value. Must end soon after the signal has fired. */
  read(signal: AbortSignal): Promise<number | Sample[]>;
  /** 500 ms if absent. */
  timeoutMs?: number;
  /** How long a scrape waits for a reading; 100 ms if absent. */
  scrapeWaitMs?: number;
  /** How long a reading, or its failure, is reused; 15,000 ms if absent. */
  reuseMs?: number;
  /** How long the last value is shown if it can't be renewed; 60,000 ms if absent. */
  keepMs?: number;
  /** The most values; a reading with more is a failure. 100 if absent. */
  maxSeries?: number;
}

/** A gauge with its current values. */
export interface Observed extends ObservedGauge {
  samples: Sample[];
}

/** The functions that read the gauges of this process. */
const shown = new Set<() => Promise<Observed>>();

/** The values of all gauges of this process, for a scrape. Takes at most the largest `scrapeWaitMs`. Never throws. */
export function collectObserved(): Promise<Observed[]> {
  return Promise.all([...shown].map((observe) => observe()));
}

/** The longest value of a label; a longer one is not the name of a kind. */
const LABEL_LENGTH = 64;
const suffixes = { s: /_seconds$/, By: /_bytes$/, 1: /./ };

/** Throws an Error if the gauge's name, unit or labels are wrong. `context`: the name must begin with it. */
export function checkGauge(context: string, { name, unit, labels = [] }: ObservedGauge): void {
  const fail = (what: string) => {
    throw new Error(`Gauge "${name}" of ${context}: ${what}`);
  };
  if (!/^[a-z]+(_[a-z]+)+$/.test(name)) fail('name must be lower-case words with "_" between them.');
  if (!name.startsWith(`${context}_`)) fail(`name must begin with "${context}_".`);
  if (/_(total|count|sum|bucket|milliseconds|ms|minutes|hours|days|kb|mb|percent)$/.test(name))
    fail('name must end with a base unit or with the things that it counts: "_seconds", "_bytes", "_open".');
  if (!suffixes[unit].test(name))
    fail(`name must end with "_${unit === 's' ? 'seconds' : 'bytes'}", since its unit is "${unit}".`);
  if (unit === '1' && /_(seconds|bytes)$/.test(name)) fail('unit must be that of its name: "s" or "By".');
  for (const label of labels) {
    if (!/^[a-z]+(_[a-z]+)*$/.test(label)) fail(`label "${label}" must be lower-case words with "_" between them.`);
    if (/(^|_)(id|uuid|key|email)$/.test(label))
      fail(`label "${label}" is an id, so the number of series is unbounded. Use a label with few values.`);
  }
}

/** Adds the gauge to `/metrics` until it is stopped. Without scrapes nothing is read. */
export function observeGauge(options: ObserveOptions): Running {
  const { name, timeoutMs = 500, scrapeWaitMs = 100, reuseMs = 15_000, keepMs = 60_000 } = options;
  const stopping = new AbortController();
  let last: { samples: Sample[]; at: number } | undefined;
  let askedAt = Number.NEGATIVE_INFINITY;
  /** The reading in flight. It stays here until it has ended, which may be after its time-out. */
  let reading: Promise<void> | undefined;

  async function observe(): Promise<Observed> {
    const now = performance.now();
    if (now - askedAt >= reuseMs && !stopping.signal.aborted) {
      askedAt = now;
      if (reading) fail(new Error('The previous reading has not ended.'));
      else reading = readOnce();
    }
    // `reading` never rejects.
    if (reading) await within(scrapeWaitMs, reading, stopping.signal);
    if (last && performance.now() - last.at >= keepMs) last = undefined;
    return { ...options, samples: last?.samples ?? [] };
  }

  async function readOnce(): Promise<void> {
    const ended = new AbortController();
    const signal = AbortSignal.any([stopping.signal, ended.signal]);
    const work = Promise.resolve(signal).then(options.read);
    const settled = work.then(
      () => {},
      () => {},
    );
    try {
      if (!(await within(timeoutMs, work, stopping.signal))) throw new Error(`It took longer than ${timeoutMs} ms.`);
      last = { samples: checked(options, await work), at: performance.now() };
    } catch (error) {
      fail(error);
    }
    ended.abort(new DOMException('The reading took too long.', 'TimeoutError'));
    await settled;
    reading = undefined;
  }

  function fail(error: unknown): void {
    if (stopping.signal.aborted) return;
    failures.add(1, { gauge: name });
    log.warn({ gauge: name, err: error }, 'a gauge could not be read');
  }

  shown.add(observe);
  return {
    async stop() {
      shown.delete(observe);
      stopping.abort();
      // The stop waits for a reading no longer than its time-out.
      if (reading) await within(timeoutMs, reading);
    },
  };
}

/** The samples. Throws an Error if they do not match the gauge's declaration. */
function checked({ labels = [], maxSeries = 100 }: ObserveOptions, read: number | Sample[]): Sample[] {
  const samples = typeof read === 'number' ? [{ labels: {}, value: read }] : read;
  if (samples.length > maxSeries) throw new Error(`It has ${samples.length} series: at most ${maxSeries}.`);
  const declared = [...labels].sort().join();
  const seen = new Set<string>();
  for (const { labels: given, value } of samples) {
    const names = Object.keys(given).sort();
    if (names.join() !== declared) throw new Error(`It has the labels "${names}" where "${declared}" are declared.`);
    if (!Number.isFinite(value)) throw new Error(`${value} is not a finite number.`);
    if (Object.values(given).some((text) => text.length > LABEL_LENGTH))
      throw new Error(`A label has more than ${LABEL_LENGTH} characters.`);
    const key = JSON.stringify(names.map((label) => given[label]));
    if (seen.has(key)) throw new Error(`Two series have the labels ${key}.`);
    seen.add(key);
  }
  return samples;
}

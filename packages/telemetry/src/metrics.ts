/**
 * Instruments that can be made when a module loads, before telemetry starts. They bind to the OpenTelemetry meter
 * provider that exists when they are used, so the order of imports does not matter. Without a provider a use costs two
 * function calls. Names follow Prometheus: base units, `_total`, `_seconds`; no ids as attributes.
 */
import { type Attributes, type Meter, metrics } from '@opentelemetry/api';

/**
 * The former name of a renamed metric. The metric is exported under it, too, for one version; docs/renames.md lists it.
 */
export interface FormerMetric {
  /** Its former name. Absent if only labels were renamed: then its points carry both labels. */
  name?: string;
  /** Former names of labels, by their current ones: `{ saga: 'process' }`. */
  labels?: Record<string, string>;
}

const former = new Map<string, FormerMetric>();

/** The former names of instruments, by their current names. */
export const formerMetrics: ReadonlyMap<string, FormerMetric> = former;

export interface InstrumentOptions {
  formerly?: FormerMetric;
}

function note(name: string, { formerly }: InstrumentOptions): void {
  if (formerly) former.set(name, formerly);
}

/** Makes the instrument at its first use, and again if the provider changes. */
function bound<Instrument>(create: (meter: Meter) => Instrument): () => Instrument {
  let provider: unknown;
  let instrument: Instrument;
  return () => {
    const current = metrics.getMeterProvider();
    if (current !== provider) {
      provider = current;
      instrument = create(current.getMeter('caudal'));
    }
    return instrument;
  };
}

/** Counts upwards: `orders_placed_total`. */
export function counter(name: string, description: string, options: InstrumentOptions = {}) {
  note(name, options);
  const instrument = bound((meter) => meter.createCounter(name, { description }));
  return {
    add(value: number, attributes?: Attributes): void {
      instrument().add(value, attributes);
    },
  };
}

/** A distribution of values, in base units: `append_seconds`. `boundaries`: the buckets' upper bounds. */
export function histogram(
  name: string,
  description: string,
  unit: string,
  boundaries?: number[],
  options: InstrumentOptions = {},
) {
  note(name, options);
  const advice = boundaries && { explicitBucketBoundaries: boundaries };
  const instrument = bound((meter) => meter.createHistogram(name, { description, unit, advice }));
  return {
    record(value: number, attributes?: Attributes): void {
      instrument().record(value, attributes);
    },
  };
}

/** A value that goes up and down: `relay_lag_events`. */
export function gauge(name: string, description: string, unit: string, options: InstrumentOptions = {}) {
  note(name, options);
  const instrument = bound((meter) => meter.createGauge(name, { description, unit }));
  return {
    set(value: number, attributes?: Attributes): void {
      instrument().record(value, attributes);
    },
  };
}

/**
 * Instruments that can be made when a module loads, before telemetry is started: they bind to whatever OpenTelemetry
 * meter provider is there when they are used, so nothing depends on the order of imports. Without a provider a use
 * costs two function calls. Names follow Prometheus: base units, `_total`, `_seconds`; no ids as attributes.
 */
import { type Attributes, type Meter, metrics } from '@opentelemetry/api';

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
export function counter(name: string, description: string) {
  const instrument = bound((meter) => meter.createCounter(name, { description }));
  return {
    add(value: number, attributes?: Attributes): void {
      instrument().add(value, attributes);
    },
  };
}

/** Spreads of values, in base units: `append_seconds`. `boundaries`: the buckets' upper ends. */
export function histogram(name: string, description: string, unit: string, boundaries?: number[]) {
  const advice = boundaries && { explicitBucketBoundaries: boundaries };
  const instrument = bound((meter) => meter.createHistogram(name, { description, unit, advice }));
  return {
    record(value: number, attributes?: Attributes): void {
      instrument().record(value, attributes);
    },
  };
}

/** A value that goes up and down: `projection_lag_seconds`. */
export function gauge(name: string, description: string, unit: string) {
  const instrument = bound((meter) => meter.createGauge(name, { description, unit }));
  return {
    set(value: number, attributes?: Attributes): void {
      instrument().record(value, attributes);
    },
  };
}

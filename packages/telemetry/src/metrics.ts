/**
 * Instruments that can be made when a module loads, before telemetry is started: they bind to OpenTelemetry at their
 * first use. Names follow Prometheus: base units, `_total`, `_seconds`; no ids as attributes.
 */
import { type Attributes, metrics } from '@opentelemetry/api';

const meter = () => metrics.getMeter('caudal');

/** Counts upwards: `orders_placed_total`. */
export function counter(name: string, description: string) {
  let instrument: ReturnType<ReturnType<typeof meter>['createCounter']> | undefined;
  return {
    add(value: number, attributes?: Attributes): void {
      instrument ??= meter().createCounter(name, { description });
      instrument.add(value, attributes);
    },
  };
}

/** Spreads of values, in base units: `append_seconds`. `boundaries`: the buckets' upper ends. */
export function histogram(name: string, description: string, unit: string, boundaries?: number[]) {
  let instrument: ReturnType<ReturnType<typeof meter>['createHistogram']> | undefined;
  return {
    record(value: number, attributes?: Attributes): void {
      instrument ??= meter().createHistogram(name, {
        description,
        unit,
        advice: boundaries && { explicitBucketBoundaries: boundaries },
      });
      instrument.record(value, attributes);
    },
  };
}

/** A value that goes up and down: `projection_lag_seconds`. */
export function gauge(name: string, description: string, unit: string) {
  let instrument: ReturnType<ReturnType<typeof meter>['createGauge']> | undefined;
  return {
    set(value: number, attributes?: Attributes): void {
      instrument ??= meter().createGauge(name, { description, unit });
      instrument.record(value, attributes);
    },
  };
}

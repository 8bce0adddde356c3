/** Gauges that are read at a scrape, as OpenTelemetry's exporters take metrics from outside its SDK. */
import { ValueType } from '@opentelemetry/api';
import { hrTime } from '@opentelemetry/core';
import { emptyResource } from '@opentelemetry/resources';
import { AggregationTemporality, DataPointType, type MetricProducer } from '@opentelemetry/sdk-metrics';
import { collectObserved } from './observed-gauge.ts';

/** Gives the values of the moment, and nothing of a gauge that has none. */
export const observedProducer: MetricProducer = {
  async collect() {
    const observed = await collectObserved();
    const now = hrTime();
    const metrics = observed
      .filter(({ samples }) => samples.length > 0)
      .map(({ name, description, unit, samples }) => ({
        descriptor: { name, description, unit, valueType: ValueType.DOUBLE },
        aggregationTemporality: AggregationTemporality.CUMULATIVE,
        dataPointType: DataPointType.GAUGE as const,
        dataPoints: samples.map(({ labels, value }) => ({ attributes: labels, value, startTime: now, endTime: now })),
      }));
    // The exporter puts the process's own resource in the place of this one.
    return {
      resourceMetrics: { resource: emptyResource(), scopeMetrics: [{ scope: { name: 'caudal' }, metrics }] },
      errors: [],
    };
  },
};

/**
 * Gauges that are read at a scrape, in the form in which OpenTelemetry's exporters take metrics from outside its SDK.
 */
import { ValueType } from '@opentelemetry/api';
import { hrTime } from '@opentelemetry/core';
import { emptyResource } from '@opentelemetry/resources';
import { AggregationTemporality, DataPointType, type MetricProducer } from '@opentelemetry/sdk-metrics';
import { collectObserved } from './observed-gauge.ts';

/** Gives the current values of the gauges. A gauge without values is left out. */
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
    // The exporter replaces this resource with that of the process.
    return {
      resourceMetrics: { resource: emptyResource(), scopeMetrics: [{ scope: { name: 'caudal' }, metrics }] },
      errors: [],
    };
  },
};

/** Metrics under their deprecated names. They are copied at the export, so that recording costs the same. */
import type { Attributes } from '@opentelemetry/api';
import type { DataPoint, Histogram, MetricData, ResourceMetrics } from '@opentelemetry/sdk-metrics';
import { type FormerMetric, formerMetrics } from './metrics.ts';

/**
 * The collected metrics, and copies with the deprecated names and labels of `former` (by the metric's current name).
 */
export function withFormerMetrics(
  collected: ResourceMetrics,
  former: ReadonlyMap<string, FormerMetric> = formerMetrics,
): ResourceMetrics {
  const scopeMetrics = collected.scopeMetrics.map(({ scope, metrics }) => ({
    scope,
    metrics: metrics.flatMap((metric) => {
      const known = former.get(metric.descriptor.name);
      if (!known) return [metric];
      const { name, labels = {} } = known;
      if (name !== undefined) return [metric, renamed(metric, name, labels)];
      return [relabelled(metric, (attributes) => ({ ...attributes, ...formerLabels(attributes, labels) }))];
    }),
  }));
  return { ...collected, scopeMetrics };
}

function renamed(metric: MetricData, name: string, labels: Record<string, string>): MetricData {
  const description = `Deprecated: now ${metric.descriptor.name}`;
  const copy = relabelled(metric, (attributes) => {
    const others = Object.entries(attributes).filter(([label]) => !Object.hasOwn(labels, label));
    return { ...formerLabels(attributes, labels), ...Object.fromEntries(others) };
  });
  return { ...copy, descriptor: { ...copy.descriptor, name, description } };
}

/** The attributes that have a former name, under that name. */
function formerLabels(attributes: Attributes, labels: Record<string, string>): Attributes {
  return Object.fromEntries(
    Object.entries(labels)
      .filter(([label]) => Object.hasOwn(attributes, label))
      .map(([label, name]) => [name, attributes[label]]),
  );
}

function relabelled(metric: MetricData, relabel: (attributes: Attributes) => Attributes): MetricData {
  const points = (metric.dataPoints as DataPoint<number | Histogram>[]).map((point) => ({
    ...point,
    attributes: relabel(point.attributes),
  }));
  // The points are of the same kind as before, which the union of types can't express.
  return { ...metric, dataPoints: points } as MetricData;
}

/** Alerts and dashboards use metrics that exist and are not deprecated, and each alert is documented. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { chart, describeWithTools, laidOver, ofKind, presets, render, root } from './chart.ts';

interface Rules {
  groups: { name: string; rules: { alert: string; expr: string; labels: { severity: string } }[] }[];
}

/** Metrics of Prometheus, OpenTelemetry's instrumentation of Node, Kubernetes, kube-state-metrics and KEDA. */
const others = new Set([
  'up',
  'nodejs_eventloop_utilization',
  'container_cpu_usage_seconds_total',
  'container_memory_working_set_bytes',
  'kube_deployment_status_replicas_available',
  'kube_horizontalpodautoscaler_status_desired_replicas',
  'keda_scaler_metrics_value',
  'keda_scaler_active',
  'keda_scaler_detail_errors_total',
]);
const metrics = new Set(
  [
    ...readFileSync(join(root, 'docs/reference/metrics.md'), 'utf8').matchAll(
      /^\| `([a-z_]+)` \| (\w+) \| (?!Deprecated)/gm,
    ),
  ].flatMap(([, name, kind]) =>
    kind === 'histogram' ? ['_bucket', '_count', '_sum'].map((part) => name! + part) : [name!],
  ),
);

/** Every name that is followed by labels in braces: all queries here select a namespace. */
const metricsIn = (expr: string) => [...expr.matchAll(/\b([a-z_]+)\{/g)].map(([, name]) => name!);

const { groups } = parse(readFileSync(join(chart, 'files/alerts.yaml'), 'utf8')) as Rules;
const alerts = groups.flatMap(({ rules }) => rules);

test.each(alerts)('$alert uses metrics that exist', ({ expr }) => {
  expect(metricsIn(expr).length).toBeGreaterThan(0);
  expect(metricsIn(expr).filter((name) => !metrics.has(name) && !others.has(name))).toEqual([]);
  // Each selector includes the release.
  expect(expr.match(/\{/g)!.length).toBe(expr.match(/\{SELECTOR/g)!.length);
});

test('every alert has its section in docs/operations/alerts.md, and every section its alert', () => {
  const page = readFileSync(join(root, 'docs/operations/alerts.md'), 'utf8');
  const sections = [...page.matchAll(/^## (Caudal\w+)$/gm)].map(([, name]) => name);
  expect(sections.sort()).toEqual(alerts.map(({ alert }) => alert).sort());
});

const dashboards = readdirSync(join(chart, 'files/dashboards'));

test.each(dashboards)('the dashboard %s uses metrics that exist', (name) => {
  const { panels } = JSON.parse(readFileSync(join(chart, 'files/dashboards', name), 'utf8')) as {
    panels: { targets: { expr: string }[] }[];
  };
  const asked = panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => metricsIn(expr)));
  expect(asked.length).toBeGreaterThanOrEqual(panels.length);
  expect(asked.filter((metric) => !metrics.has(metric) && !others.has(metric))).toEqual([]);
});

describeWithTools(['helm'], 'monitoring', ({ helm }) => {
  test('the rules are for this release, and the monitor finds its Service', async () => {
    const release = await render(
      helm!,
      laidOver(presets.small!, { monitoring: { serviceMonitor: true, rules: true, dashboards: true } }),
    );
    const [rule] = ofKind(release, 'PrometheusRule');
    expect(JSON.stringify(rule)).not.toContain('SELECTOR');
    expect((rule!.spec as Rules).groups[0]!.rules[0]!.expr).toContain('namespace="shop",service="caudal-metrics"');
    const [monitor] = ofKind(release, 'ServiceMonitor');
    const found = ofKind(release, 'Service').filter(({ metadata }) =>
      Object.entries(monitor!.spec.selector.matchLabels).every(([key, value]) => metadata.labels?.[key] === value),
    );
    expect(found.map(({ metadata }) => metadata.name)).toEqual(['caudal-metrics']);
    expect(found[0]!.spec.ports[0].name).toBe(monitor!.spec.endpoints[0].port);
    expect(ofKind(release, 'ConfigMap')).toHaveLength(dashboards.length);
  });
});

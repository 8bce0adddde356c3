/** Grafana's dashboards. Each is a list of panels, three in a row; a panel shows one or more lines of PromQL. */

interface Panel {
  title: string;
  unit: 's' | 'short' | 'reqps' | 'percentunit' | 'bytes';
  /** PromQL, by the legend of its line. */
  lines: Record<string, string>;
}

const errors = 'code=~"INTERNAL|UNAVAILABLE|DEADLINE_EXCEEDED|UNIMPLEMENTED|UNKNOWN|DATA_LOSS"';
const of = 'namespace="$namespace"';
const panel = (title: string, unit: Panel['unit'], lines: Panel['lines']): Panel => ({ title, unit, lines });
const rate = (metric: string, labels = '') => `rate(${metric}{${of}${labels && `,${labels}`}}[$__rate_interval])`;
const quantile = (q: number, metric: string, by: string) =>
  `histogram_quantile(${q}, sum by (le, ${by}) (${rate(`${metric}_bucket`)}))`;

const red = [
  panel('Calls a second, by method', 'reqps', {
    '{{method}}': `sum by (method) (${rate('rpc_server_duration_seconds_count')})`,
  }),
  panel('Share of server errors, by method', 'percentunit', {
    '{{method}}': `sum by (method) (${rate('rpc_server_duration_seconds_count', errors)}) / sum by (method) (${rate('rpc_server_duration_seconds_count')})`,
  }),
  panel('Duration: 99 of 100 calls, by method', 's', {
    '{{method}}': quantile(0.99, 'rpc_server_duration_seconds', 'method'),
  }),
  panel('Calls a second, by code', 'reqps', {
    '{{code}}': `sum by (code) (${rate('rpc_server_duration_seconds_count')})`,
  }),
  panel('Duration: half of the calls, by method', 's', {
    '{{method}}': quantile(0.5, 'rpc_server_duration_seconds', 'method'),
  }),
  panel('Commands a second, by outcome', 'reqps', {
    '{{entity}} {{outcome}}': `sum by (entity, outcome) (${rate('aggregate_commands_total')})`,
  }),
];

const use = [
  panel('Event loop: share of time that it is busy', 'percentunit', {
    '{{pod}}': `nodejs_eventloop_utilization{${of}}`,
  }),
  panel('CPU', 'short', {
    '{{pod}}': `sum by (pod) (rate(container_cpu_usage_seconds_total{${of},container="caudal"}[$__rate_interval]))`,
  }),
  panel('Memory', 'bytes', {
    '{{pod}}': `sum by (pod) (container_memory_working_set_bytes{${of},container="caudal"})`,
  }),
  panel('Calls in flight', 'short', { '{{pod}}': `sum by (pod) (rpc_server_calls_in_flight{${of}})` }),
  panel('Connections to PostgreSQL', 'short', { '{{state}}': `sum by (state) (postgres_pool_connections{${of}})` }),
  panel('Callers that wait for a connection', 'short', { '{{pod}}': `sum by (pod) (postgres_pool_waiting{${of}})` }),
  panel('Reads of the cache a second, by result', 'reqps', {
    '{{result}}': `sum by (result) (${rate('cache_reads_total')})`,
  }),
  panel('Redis: calls that failed', 'reqps', { failed: `sum(${rate('cache_redis_errors_total')})` }),
  panel('RabbitMQ: open connections', 'short', { '{{purpose}}': `sum by (purpose) (broker_connected{${of}})` }),
];

const flow = [
  panel('Appends a second, by result', 'reqps', {
    '{{domain}} {{result}}': `sum by (domain, result) (${rate('eventlog_appends_total')})`,
  }),
  panel('From append to its result: 99 of 100', 's', {
    '{{domain}}': quantile(0.99, 'eventlog_append_seconds', 'domain'),
  }),
  panel('Wait for a turn at the log: 99 of 100', 's', {
    '{{domain}}': quantile(0.99, 'eventlog_append_lock_seconds', 'domain'),
  }),
  panel('Age of the oldest unpublished event', 's', {
    '{{domain}}': `max by (domain) (relay_oldest_unpublished_seconds{${of}})`,
  }),
  panel('Unpublished events', 'short', { '{{domain}}': `max by (domain) (relay_lag_events{${of}})` }),
  panel('Published events a second', 'reqps', { '{{domain}}': `sum by (domain) (${rate('relay_published_total')})` }),
  panel('From event to view or saga: 99 of 100', 's', {
    '{{handler}}': quantile(0.99, 'handler_lag_seconds', 'handler'),
  }),
  panel('Events handled a second, by outcome', 'reqps', {
    '{{handler}} {{outcome}}': `sum by (handler, outcome) (${rate('events_handled_total')})`,
  }),
  panel('Parked streams', 'short', { '{{handler}}': `max by (handler) (parked_streams{${of}})` }),
  panel('Streams that reconciliation found behind', 'reqps', {
    '{{handler}}': `sum by (handler) (${rate('reconciliation_behind_total')})`,
  }),
  panel('Handlers that wait for a dependency', 'short', {
    '{{handler}}': `sum by (handler) (subscription_paused{${of}})`,
  }),
  panel('Timers a second, by outcome', 'reqps', {
    '{{handler}} {{outcome}}': `sum by (handler, outcome) (${rate('timers_fired_total')})`,
  }),
];

const scaling = [
  panel('Replicas', 'short', { '{{deployment}}': `kube_deployment_status_replicas_available{${of}}` }),
  panel('Desired replicas', 'short', {
    '{{horizontalpodautoscaler}}': `kube_horizontalpodautoscaler_status_desired_replicas{${of}}`,
  }),
  panel('Messages in the queues of a workload', 'short', {
    '{{scaledObject}}': `sum by (scaledObject) (keda_scaler_metrics_value{exported_namespace="$namespace"})`,
  }),
  panel('KEDA active: 1 is yes', 'short', {
    '{{scaledObject}}': `keda_scaler_active{exported_namespace="$namespace"}`,
  }),
  panel('Errors of KEDA', 'reqps', {
    '{{scaledObject}}': `sum by (scaledObject) (rate(keda_scaler_detail_errors_total{exported_namespace="$namespace"}[$__rate_interval]))`,
  }),
  panel('From event to view: 99 of 100', 's', { '{{handler}}': quantile(0.99, 'handler_lag_seconds', 'handler') }),
  panel('Parts of a handler, by pod', 'short', { '{{handler}} {{pod}}': `parts_held{${of}} > 0` }),
];

const breaker = [
  panel('Circuit breakers: 0 closed, 1 half open, 2 open', 'short', { '{{circuit}} {{pod}}': `circuit_state{${of}}` }),
  panel('Payments that need attention', 'short', {
    '{{step}}': `sum by (step) (increase(payments_attention_needed_total{${of}}[$__range]))`,
  }),
  panel('Steps of sagas a second, by outcome', 'reqps', {
    '{{saga}} {{step}} {{outcome}}': `sum by (saga, step, outcome) (${rate('saga_steps_total')})`,
  }),
];

function dashboard(uid: string, title: string, panels: Panel[]): object {
  return {
    uid: `caudal-${uid}`,
    title: `Caudal: ${title}`,
    tags: ['caudal'],
    schemaVersion: 39,
    refresh: '30s',
    time: { from: 'now-1h', to: 'now' },
    templating: {
      list: [
        { name: 'datasource', type: 'datasource', query: 'prometheus' },
        {
          name: 'namespace',
          type: 'query',
          datasource: { type: 'prometheus', uid: '$datasource' },
          query: 'label_values(rpc_server_calls_in_flight, namespace)',
          refresh: 2,
        },
      ],
    },
    panels: panels.map(({ title: of, unit, lines }, index) => ({
      id: index + 1,
      type: 'timeseries',
      title: of,
      datasource: { type: 'prometheus', uid: '$datasource' },
      gridPos: { x: (index % 3) * 8, y: Math.floor(index / 3) * 8, w: 8, h: 8 },
      fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
      targets: Object.entries(lines).map(([legendFormat, expr], place) => ({
        refId: String.fromCharCode(65 + place),
        expr,
        legendFormat,
      })),
    })),
  };
}

/** By the name of the file. */
export const dashboards: Record<string, object> = {
  red: dashboard('red', 'calls', red),
  use: dashboard('use', 'resources', use),
  'event-flow': dashboard('event-flow', 'the flow of events', flow),
  scaling: dashboard('scaling', 'scaling', scaling),
  breaker: dashboard('breaker', 'circuit breakers and payments', breaker),
};

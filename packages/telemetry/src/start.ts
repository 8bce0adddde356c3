/**
 * Starts OpenTelemetry for this process: traces to a collector, metrics for Prometheus. What is not asked for costs
 * nothing; trace context is carried on in any case. No auto-instrumentation: the platform packages make their own
 * spans, and patching modules at load does not reach ES modules without a loader hook.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { DiagLogLevel, diag } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { RuntimeNodeInstrumentation } from '@opentelemetry/instrumentation-runtime-node';
import { envDetector, resourceFromAttributes, serviceInstanceIdDetector } from '@opentelemetry/resources';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { BatchSpanProcessor, ParentBasedSampler, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace';
import { ATTR_SERVICE_NAME, ATTR_SERVICE_VERSION } from '@opentelemetry/semantic-conventions';
import { withFormerMetrics } from './former-metrics.ts';
import { logger } from './log.ts';
import { observedProducer } from './observed-producer.ts';

export interface TelemetryOptions {
  /** `service.name`: 'caudal-orders'. */
  serviceName: string;
  serviceVersion: string;
  /** The roles that the process runs, as an attribute of all spans and metrics: 'command,query'. */
  role: string;
  /** Where Prometheus fetches `/metrics`; port 0 lets the system choose. Absent: no metrics are kept. */
  prometheus?: { host: string; port: number };
  /** Where spans go by OTLP over gRPC: 'http://collector:4317'. Absent: no spans are recorded. */
  otlpEndpoint?: string;
  /** The share of traces that are recorded where no caller has decided already, 0 to 1; 1 if absent. */
  sampling?: number;
}

export interface Telemetry extends Running {
  /** Where `/metrics` listens. */
  prometheusPort: number | undefined;
}

const log = logger('telemetry');

/** How long a batch of spans may take to the collector, and how long `stop` waits for the last one, in milliseconds. */
const exportMs = 2_000;
const flushMs = 3_000;

/** Exports metrics under their deprecated names, too. */
class AliasingExporter extends PrometheusExporter {
  override async collect(options?: Parameters<PrometheusExporter['collect']>[0]) {
    const { resourceMetrics, errors } = await super.collect(options);
    return { resourceMetrics: withFormerMetrics(resourceMetrics), errors };
  }
}

/** Serves GET /metrics. (The exporter's own server hides its port, and why it did not start.) */
async function serveMetrics(exporter: PrometheusExporter, { host, port }: { host: string; port: number }) {
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    if (request.url?.split('?')[0] === '/metrics') exporter.getMetricsRequestHandler(request, response);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(new Error(`Can't serve /metrics on ${host}:${port}`, { cause })));
    server.listen(port, host, resolve);
  });
  // Metrics alone are no reason to go on living.
  return server.unref();
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** OpenTelemetry's own complaints, once each and not above warning: a collector that is away is no emergency. */
function logComplaints(): void {
  const said = new Set<string>();
  const warn = (message: string, ...details: unknown[]) => {
    if (said.has(message) || said.size > 100) return;
    said.add(message);
    log.warn({ details: details.map(String) }, message);
  };
  const quiet = () => {};
  diag.setLogger(
    { error: warn, warn, info: quiet, debug: quiet, verbose: quiet },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}

/**
 * Starts telemetry, once in a process. Throws if `/metrics` can't listen. `stop` sends what is left, for at most 3 s.
 */
export async function startTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  const { serviceName, serviceVersion, role, prometheus, otlpEndpoint, sampling = 1 } = options;
  logComplaints();
  const exporter =
    prometheus &&
    new AliasingExporter({ preventServerStart: true, withoutScopeInfo: true, metricProducers: [observedProducer] });
  const server = exporter && (await serveMetrics(exporter, prometheus));
  const runtime = exporter && new RuntimeNodeInstrumentation();
  const sdk = new NodeSDK({
    resource: resourceFromAttributes({
      [ATTR_SERVICE_NAME]: serviceName,
      [ATTR_SERVICE_VERSION]: serviceVersion,
      'caudal.role': role,
    }),
    // Not the process detector (a command line may hold secrets), nor the host's (it is late; the collector knows it).
    resourceDetectors: [serviceInstanceIdDetector, envDetector],
    textMapPropagator: new W3CTraceContextPropagator(),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampling) }),
    // Lists that are empty, not absent: absent ones would be filled with exporters to localhost.
    spanProcessors: otlpEndpoint
      ? [
          new BatchSpanProcessor({
            exporter: new OTLPTraceExporter({ url: otlpEndpoint, timeoutMillis: exportMs }),
            exportTimeoutMillis: exportMs + 500,
          }),
        ]
      : [],
    metricReaders: exporter ? [exporter] : [],
    logRecordProcessors: [],
    instrumentations: runtime ? [runtime] : [],
  });
  sdk.start();

  const stop = async () => {
    runtime?.disable();
    const shutdown = sdk.shutdown().catch((error: unknown) => log.warn({ err: error }, 'telemetry did not end well'));
    const ended = new AbortController();
    await Promise.race([shutdown.finally(() => ended.abort()), sleep(flushMs, ended.signal)]);
    if (server) await close(server);
  };
  let stopping: Promise<void> | undefined;
  return {
    prometheusPort: server && (server.address() as AddressInfo).port,
    stop() {
      stopping ??= stop();
      return stopping;
    },
  };
}

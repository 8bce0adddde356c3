/**
 * Starts OpenTelemetry for this process: traces to a collector, metrics for Prometheus. A part that is not configured
 * costs nothing; trace context is passed on in any case. There is no auto-instrumentation, since the platform packages
 * make their own spans, and ES modules can't be patched without a loader hook.
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
  /** The address of `/metrics`; port 0 lets the system choose. If absent, no metrics are recorded. */
  prometheus?: { host: string; port: number };
  /**
   * The collector that gets the spans, by OTLP over gRPC: 'http://collector:4317'. If absent, no spans are recorded.
   */
  otlpEndpoint?: string;
  /** The share of traces that are recorded if the caller has not decided, 0 to 1; 1 if absent. */
  sampling?: number;
}

export interface Telemetry extends Running {
  /** The port of `/metrics`. */
  prometheusPort: number | undefined;
}

const log = logger('telemetry');

/** How long the export of a batch of spans may take, and how long `stop` waits for the last one, in milliseconds. */
const exportMs = 2_000;
const flushMs = 3_000;
/** Anybody on the pods' network may ask, and each answer takes some milliseconds: so many at once, and connections. */
const maxScrapes = 4;
const maxConnections = 64;

/** Exports metrics under their deprecated names, too. */
class AliasingExporter extends PrometheusExporter {
  override async collect(options?: Parameters<PrometheusExporter['collect']>[0]) {
    const { resourceMetrics, errors } = await super.collect(options);
    return { resourceMetrics: withFormerMetrics(resourceMetrics), errors };
  }
}

/** Serves GET /metrics. (The exporter's own server exposes neither its port nor the reason why it did not start.) */
async function serveMetrics(exporter: PrometheusExporter, { host, port }: { host: string; port: number }) {
  let scrapes = 0;
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    if (request.url?.split('?')[0] !== '/metrics') {
      response.writeHead(404).end();
    } else if (scrapes >= maxScrapes) {
      response.writeHead(503, { 'retry-after': '1', connection: 'close' }).end();
    } else {
      scrapes++;
      response.once('close', () => scrapes--);
      exporter.getMetricsRequestHandler(request, response);
    }
  });
  server.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(new Error(`Can't serve /metrics on ${host}:${port}`, { cause })));
    server.listen(port, host, resolve);
  });
  // This server alone must not keep the process running.
  return server.unref();
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** Logs OpenTelemetry's own messages, each once and at most as a warning: an unreachable collector is no emergency. */
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
 * Starts telemetry; call it once per process. Throws if `/metrics` can't listen. `stop` exports the remaining spans,
 * for at most 3 s.
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
    // No process detector (a command line may hold secrets) and no host detector (see README, Choices).
    resourceDetectors: [serviceInstanceIdDetector, envDetector],
    textMapPropagator: new W3CTraceContextPropagator(),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampling) }),
    // Empty lists: if they were absent, the SDK would add exporters to localhost.
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
    const shutdown = sdk
      .shutdown()
      .catch((error: unknown) => log.warn({ err: error }, 'the last spans could not be exported'));
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

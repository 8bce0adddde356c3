import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createLogger } from './log.ts';
import { counter, gauge, histogram } from './metrics.ts';
import { parseTraceparent, withSpan } from './spans.ts';
import { startTelemetry, type Telemetry } from './start.ts';
import { currentTraceparent } from './testing/traceparent.ts';

/** A collector that records the spans that it receives. */
async function collector() {
  const received: Buffer[] = [];
  const server = new Server();
  const bytes = (value: Buffer) => value;
  const definition = {
    export: {
      path: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
      requestStream: false,
      responseStream: false,
      requestSerialize: bytes,
      requestDeserialize: bytes,
      responseSerialize: bytes,
      responseDeserialize: bytes,
    },
  } satisfies ServiceDefinition;
  server.addService(definition, {
    export: (call: { request: Buffer }, callback: (error: null, value: Buffer) => void) => {
      received.push(call.request);
      callback(null, Buffer.alloc(0));
    },
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return { url: `http://127.0.0.1:${port}`, received, stop: () => server.forceShutdown() };
}

const remote = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('before telemetry is started', () => {
  test('spans run their function, and have no ids', async () => {
    await expect(withSpan('nothing', {}, () => currentTraceparent())).resolves.toBe('');
    await expect(withSpan('nothing', {}, () => Promise.reject(new Error('boom')))).rejects.toThrow('boom');
  });

  test('instruments take values', () => {
    used.add(1);
    expect(() => used.add(1, { result: 'ok' })).not.toThrow();
  });
});

/** Made and used before the start. */
const used = counter('caudal_test_total', 'Counts.');

describe('started', () => {
  let sink: Awaited<ReturnType<typeof collector>>;
  let telemetry: Telemetry;
  beforeAll(async () => {
    sink = await collector();
    telemetry = await startTelemetry({
      serviceName: 'caudal-test',
      serviceVersion: '1.2.3',
      role: 'command',
      prometheus: { host: '127.0.0.1', port: 0 },
      otlpEndpoint: sink.url,
    });
  });
  afterAll(async () => {
    await telemetry.stop();
    sink.stop();
  });
  const scrape = async () => (await fetch(`http://127.0.0.1:${telemetry.prometheusPort}/metrics`)).text();

  test('/metrics has all metrics, also of instruments that were made before the start', async () => {
    used.add(2, { result: 'ok' });
    histogram('caudal_test_seconds', 'Takes time.', 's', [0.1, 1]).record(0.5);
    gauge('caudal_test_lag_seconds', 'Lags.', 's').set(3);
    const text = await scrape();
    expect(text).toContain('\ncaudal_test_total{result="ok"} 2\n');
    expect(text).toContain('\ncaudal_test_seconds_bucket{le="0.1"} 0\n');
    expect(text).toContain('\ncaudal_test_seconds_bucket{le="1"} 1\n');
    expect(text).toContain('\ncaudal_test_lag_seconds 3\n');
    expect(text).toContain('nodejs_eventloop_utilization');
    expect(text).toContain('v8js_memory_heap_used');
    expect(text).toContain('service_name="caudal-test"');
    expect(text).not.toContain('process_command');
  });

  test('a renamed metric is exported under its deprecated name, too, with its former labels', async () => {
    const steps = counter('caudal_saga_steps_total', 'Steps.', {
      formerly: { name: 'caudal_process_steps_total', labels: { saga: 'process' } },
    });
    steps.add(3, { saga: 'fulfilment', outcome: 'done' });
    const lag = histogram('caudal_handler_lag_seconds', 'Lag.', 's', [1, 10], {
      formerly: { name: 'caudal_projection_lag_seconds' },
    });
    lag.record(5, { handler: 'orders' });
    gauge('caudal_in_flight', 'Calls.', '1', { formerly: { name: 'caudal_in_hand' } }).set(4);
    const text = await scrape();
    expect(text).toContain('\ncaudal_saga_steps_total{saga="fulfilment",outcome="done"} 3\n');
    expect(text).toContain('\ncaudal_process_steps_total{process="fulfilment",outcome="done"} 3\n');
    expect(text).toContain('# HELP caudal_process_steps_total Deprecated: now caudal_saga_steps_total\n');
    expect(text).toContain('# TYPE caudal_process_steps_total counter\n');
    for (const name of ['handler', 'projection']) {
      expect(text).toContain(`\ncaudal_${name}_lag_seconds_bucket{handler="orders",le="1"} 0\n`);
      expect(text).toContain(`\ncaudal_${name}_lag_seconds_bucket{handler="orders",le="10"} 1\n`);
      expect(text).toContain(`\ncaudal_${name}_lag_seconds_sum{handler="orders"} 5\n`);
    }
    expect(text).toContain('\ncaudal_in_flight 4\n');
    expect(text).toContain('\ncaudal_in_hand 4\n');
  });

  test('if only a label was renamed, the points carry both labels', async () => {
    const appends = counter('caudal_appends_total', 'Appends.', { formerly: { labels: { result: 'verdict' } } });
    appends.add(1, { domain: 'orders', result: 'conflict' });
    const text = await scrape();
    expect(text.match(/^caudal_appends_total.*$/gm)).toEqual([
      'caudal_appends_total{domain="orders",result="conflict",verdict="conflict"} 1',
    ]);
  });

  test('a metric that was not renamed is exported once, unchanged', async () => {
    used.add(0, { result: 'ok' });
    const text = await scrape();
    expect(text.match(/^caudal_test_total\{.*$/gm)).toHaveLength(1);
    expect(text).toContain('# HELP caudal_test_total Counts.\n');
  });

  test('so many scrapes are answered at once, also of one connection, and none is left behind', async () => {
    const socket = connect(telemetry.prometheusPort!, '127.0.0.1').setEncoding('latin1');
    let heard = '';
    socket.on('data', (part) => {
      heard += part;
    });
    socket.on('error', () => {});
    const closed = once(socket, 'close');
    socket.write('GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(200));
    await closed;
    const count = (status: string) => heard.split(`HTTP/1.1 ${status}`).length - 1;
    expect([count('200'), count('503')]).toEqual([4, 1]);
    expect(await scrape()).toContain('caudal_test_total');
  });

  test('only /metrics is served', async () => {
    const response = await fetch(`http://127.0.0.1:${telemetry.prometheusPort}/other`);
    expect(response.status).toBe(404);
  });

  test('a span continues the trace of its parent, and its children continue it', async () => {
    const inner = await withSpan('outer', { parent: remote, kind: 'consumer' }, async (span) => {
      expect(currentTraceparent()).toBe(`00-${span.spanContext().traceId}-${span.spanContext().spanId}-01`);
      return withSpan('inner', {}, () => currentTraceparent());
    });
    expect(parseTraceparent(inner)?.traceId).toBe('0af7651916cd43dd8448eb211c80319c');
    const unrelated = await withSpan('outer', { parent: remote }, () =>
      withSpan('root', { parent: '' }, currentTraceparent),
    );
    expect(parseTraceparent(unrelated)?.traceId).not.toBe('0af7651916cd43dd8448eb211c80319c');
  });

  test("a caller's decision not to record is kept", async () => {
    const traceparent = await withSpan('quiet', { parent: `${remote.slice(0, -1)}0` }, () => currentTraceparent());
    expect(traceparent).toMatch(/-00$/);
  });

  test('logs carry the ids', async () => {
    const lines: string[] = [];
    const log = createLogger('info', { write: (line) => lines.push(line) });
    await withSpan('logs', { parent: remote }, () => log.info('inside'));
    expect(JSON.parse(lines[0]!)).toMatchObject({ trace_id: '0af7651916cd43dd8448eb211c80319c' });
  });

  test('stop exports the remaining spans: names, links, errors; refusals of a server are no errors', async () => {
    const link = '00-11111111111111111111111111111111-2222222222222222-01';
    await withSpan('process order-details.v1', { kind: 'consumer', links: [link, 'malformed'] }, () => {});
    const refusal = new CaudalError('NOT_FOUND', 'ORDER_NOT_FOUND', 'refused-text');
    await withSpan('GetOrder', { kind: 'server' }, () => Promise.reject(refusal)).catch(() => {});
    await withSpan('Broken', { kind: 'server' }, () => Promise.reject(new Error('broken-text'))).catch(() => {});
    await telemetry.stop();
    const sent = Buffer.concat(sink.received);
    for (const text of ['process order-details.v1', 'broken-text', 'NOT_FOUND', 'caudal-test', '1.2.3'])
      expect(sent.includes(text)).toBe(true);
    expect(sent.includes(Buffer.from('11111111111111111111111111111111', 'hex'))).toBe(true);
    expect(sent.includes('refused-text')).toBe(false);
  });
});

describe('trouble', () => {
  test('a port in use is an error that names it', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    const options = { serviceName: 'x', serviceVersion: '1', role: 'x', prometheus: { host: '127.0.0.1', port } };
    await expect(startTelemetry(options)).rejects.toThrow(`127.0.0.1:${port}`);
    taken.close();
  });
});

test.each(['', 'rubbish', '00-00000000000000000000000000000000-b7ad6b7169203331-01', undefined])(
  'the traceparent %p gives no span context',
  (traceparent) => expect(parseTraceparent(traceparent)).toBeUndefined(),
);

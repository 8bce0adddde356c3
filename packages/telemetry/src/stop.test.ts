import { createServer, type Socket } from 'node:net';
import { expect, test } from '@jest/globals';
import { withSpan } from './spans.ts';
import { startTelemetry } from './start.ts';

test('a collector that never answers does not delay the stop', async () => {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
  await new Promise((resolve) => silent.once('listening', resolve));
  const { port } = silent.address() as { port: number };
  const telemetry = await startTelemetry({
    serviceName: 'caudal-test',
    serviceVersion: '1',
    role: 'all',
    otlpEndpoint: `http://127.0.0.1:${port}`,
  });
  await withSpan('lost', {}, () => {});
  const begun = performance.now();
  await Promise.all([telemetry.stop(), telemetry.stop()]);
  // Without the bound a batch takes 10 s.
  expect(performance.now() - begun).toBeLessThan(9_000);
  for (const socket of sockets) socket.destroy();
  silent.close();
});

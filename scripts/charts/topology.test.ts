/** What gateways learn about methods that are called without a token. */
import '@caudal/rpc/testing/probe.ts';
import { expect, test } from '@jest/globals';
import { endpointsOf } from './topology.ts';

test('the endpoints of a context, and separately its endpoints without a token', () => {
  const { command, query } = endpointsOf('probe');
  expect(command.grpc).toEqual([
    '/caudal.probe.v1.ProbeService/CreateProbe',
    '/caudal.probe.v1.ProbeService/StartProbe',
    '/caudal.probe.v1.ProbeService/ImportProbe',
  ]);
  expect(command.rest.map(({ path }) => path)).toEqual(['/v1/probes', '/v1/probes/[^/]+:start', '/v1/probes:import']);
  // A webhook is refused over gRPC, and a service's own method has no route.
  expect(command.open).toEqual({
    grpc: ['/caudal.probe.v1.ProbeService/SendFeedback'],
    rest: [
      { method: 'POST', path: '/v1/webhooks/measurements' },
      { method: 'POST', path: '/v1/probes:feedback' },
    ],
  });
  expect(query.open?.rest).toEqual([{ method: 'GET', path: '/v1/probes:newest' }]);
  expect(endpointsOf('orders').command).not.toHaveProperty('open');
});

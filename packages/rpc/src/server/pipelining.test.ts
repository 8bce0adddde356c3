import { CaudalError } from '@caudal/kernel/errors.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, expect, test } from '@jest/globals';
import { talk } from '../testing/connections.ts';
import { start, stopAll } from '../testing/fixture.ts';
import { maxPipelined } from './pipelining.ts';

afterEach(() => stopAll());

const request = 'GET /v1/orders/a HTTP/1.1\r\nhost: a\r\n\r\n';
const answered = ({ heard }: ReturnType<typeof talk>) => heard.split('HTTP/1.1 401').length - 1;

test('requests that are sent in one piece are answered, up to a bound', async () => {
  let checked = 0;
  const auth = async () => {
    checked++;
    throw new CaudalError('UNAUTHENTICATED', 'TOKEN_INVALID', 'No.');
  };
  const { restPort } = await start({ auth });
  const modest = talk(restPort!, request.repeat(maxPipelined));
  await until(() => answered(modest) === maxPipelined);
  expect(modest.closed).toBe(false);
  // Those that are answered count no more.
  modest.socket.write(request.repeat(maxPipelined));
  await until(() => answered(modest) === 2 * maxPipelined);
  checked = 0;
  const flood = talk(restPort!, request.repeat(1_000));
  await until(() => flood.closed);
  expect(checked).toBeLessThanOrEqual(maxPipelined);
  modest.socket.destroy();
});

test('neither does the port of gRPC answer more health requests that are sent in one piece', async () => {
  const { grpcPort } = await start();
  const health = 'GET /livez HTTP/1.1\r\nhost: a\r\n\r\n';
  const one = talk(grpcPort, health);
  await until(() => one.closed);
  expect(one.heard).toContain('200 OK');
  const flood = talk(grpcPort, health.repeat(1_000));
  await until(() => flood.closed);
  expect(flood.heard.split('200 OK').length - 1).toBeLessThanOrEqual(maxPipelined);
});

/** What streams of forwarded calls can take before it is known who opens them. */
import { type ClientHttp2Session, connect as openSession } from 'node:http2';
import { LogServiceService } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { until } from '@caudal/testing/until.ts';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { gate } from '../testing/connections.ts';
import { start, stopAll, token } from '../testing/fixture.ts';
import { authority, mounted, releaseName, unmountAll } from '../testing/tls.ts';
import { begun, call, codeOf } from '../testing/unfinished.ts';
import { type Forwarder, openForwarder } from './forwarder.ts';
import { forwardMethod } from './frames.ts';

const sessions: ClientHttp2Session[] = [];
let forwarder: Forwarder;
let checks: number;
beforeEach(() => {
  checks = 0;
  forwarder = openForwarder({ token: () => token('service:process', ['calls.forward']) });
});
afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy();
  await forwarder.stop();
  await stopAll();
  await unmountAll();
});

function session(url: string): ClientHttp2Session {
  const opened = openSession(url, { ca: authority.ca, maxSessionMemory: 1_000 });
  opened.on('error', () => {});
  sessions.push(opened);
  return opened;
}

const forwarding = () => ({ instance: 'owner', address: '', forwarder, ownedMs: () => 0 });
const refused = new CaudalError('UNAUTHENTICATED', 'TOKEN_INVALID', 'The token is wrong.');

test('an address has half of the checks of tokens, also for such streams, and what is above is not checked', async () => {
  const { closed, open } = gate();
  const server = await start({
    forwarding: forwarding(),
    async auth() {
      checks++;
      await closed;
      throw refused;
    },
  });
  const on = Array.from({ length: 10 }, () => session(`http://${server.address}`));
  const calls = Array.from({ length: 1_500 }, (_, n) =>
    call(on[n % 10]!, forwardMethod.path, { authorization: `Bearer wrong.${n}` }),
  );
  await until(() => calls.filter((each) => codeOf(each) === status.RESOURCE_EXHAUSTED).length === 988);
  expect(checks).toBe(512);
  open();
  await until(() => calls.every(({ seen }) => seen.closed));
  expect(calls.filter((each) => codeOf(each) === status.UNAUTHENTICATED)).toHaveLength(512);
});

test('where services need a certificate, no token is checked of a connection without one', async () => {
  const { source } = await mounted();
  const server = await start({
    forwarding: forwarding(),
    tls: { source, clientName: releaseName },
    async auth() {
      checks++;
      throw refused;
    },
  });
  const on = session(`https://127.0.0.1:${server.grpcPort}`);
  const calls = [forwardMethod.path, LogServiceService.readLog.path].map((path) =>
    call(on, path, { authorization: 'Bearer wrong' }),
  );
  for (const { stream } of calls) stream.write(begun(0, 0));
  await until(() => calls.every(({ seen }) => seen.closed));
  expect(calls.map(codeOf)).toEqual([status.UNAUTHENTICATED, status.UNAUTHENTICATED]);
  expect(checks).toBe(0);
});

/** For tests: servers with TLS from mounted files, and raw HTTPS requests. */
import type { IncomingHttpHeaders } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { text } from 'node:stream/consumers';
import { type Authority, type Made, type Mounted, makeAuthority, mount } from '@caudal/tls/testing/certificates.ts';
import { openTlsSource, type TlsSource } from '@caudal/tls/tls-source.ts';
import { type CallTls, callTls } from '../client/call-tls.ts';

/** The name in the certificates of all processes. */
export const releaseName = 'caudal.test.svc';
export const authority: Authority = makeAuthority();

const cleanups: (() => unknown)[] = [];

/** Removes what a test has mounted. */
export async function unmountAll(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}

/** Files with a certificate of the release, or with this one, and their source, which looks only when it is told to. */
export async function mounted(
  made: Made = authority.make([releaseName, '127.0.0.1']),
  ca = authority.ca,
): Promise<{ files: Mounted; source: TlsSource }> {
  const files = await mount(made, ca);
  const source = await openTlsSource(files, { purpose: 'test', everyMs: 600_000 });
  cleanups.push(files.remove, () => source.stop());
  return { files, source };
}

/** The TLS of a caller with a certificate of its own; without one if `made` is absent. */
export async function calling(made?: Made, ca = authority.ca, serverName?: string): Promise<CallTls> {
  const files = await mount(made ?? authority.make(['unused.test']), ca);
  const own = made ? files : { ca: files.ca };
  const source = await openTlsSource(own, { purpose: 'test', everyMs: 600_000 });
  cleanups.push(files.remove, () => source.stop());
  return callTls(source, serverName);
}

/** A GET over HTTPS; the certificate of the server is verified. */
export async function get(port: number, path: string, more: RequestOptions = {}) {
  const { promise, resolve, reject } = Promise.withResolvers<{
    status: number;
    headers: IncomingHttpHeaders;
    body: string;
    protocol: string | null;
  }>();
  const options = { host: '127.0.0.1', port, path, ca: authority.ca, servername: '', ...more };
  const sent = request(options, async (response) => {
    const { statusCode, headers, socket } = response;
    const protocol = (socket as unknown as { getProtocol(): string | null }).getProtocol();
    resolve({ status: statusCode!, headers, body: await text(response), protocol });
  });
  sent.once('error', reject);
  sent.end();
  return promise;
}

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, getCACertificates, type Server, setDefaultCACertificates } from 'node:tls';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Made, type Mounted, makeAuthority, mount } from './testing/certificates.ts';
import type { TlsSource } from './tls-source.ts';
import { trustAuthorities } from './trust.ts';

const [first, second] = [makeAuthority('The first'), makeAuthority('The second')];
const before = getCACertificates('default');
let files: Mounted;
let source: TlsSource | undefined;
const servers: Server[] = [];

beforeAll(async () => {
  files = await mount(first.make(['unused.test']), first.ca);
});
afterAll(async () => {
  await source?.stop();
  setDefaultCACertificates(before);
  for (const server of servers) server.close();
  files.remove();
});

async function serve({ certificate: cert, key }: Made): Promise<number> {
  const server = createServer({ cert, key }, (socket) => socket.end());
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

/** The error of a handshake with Node's default authorities, as the drivers of stores do it. */
async function handshake(port: number): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port });
  const outcome = await once(socket, 'secureConnect').then(
    () => 'verified',
    (error: { code: string }) => error.code,
  );
  socket.destroy();
  return outcome;
}

test('the authorities of a file are trusted beside those of Node, and follow the file', async () => {
  const [ofFirst, ofSecond] = [await serve(first.make(['127.0.0.1'])), await serve(second.make(['127.0.0.1']))];
  expect(await handshake(ofFirst)).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  expect(() => trustAuthorities('/nowhere/ca.crt')).toThrow("/nowhere/ca.crt can't be read (ENOENT)");
  source = trustAuthorities(files.ca);
  expect(trustAuthorities(files.ca)).toBe(source);
  expect(() => trustAuthorities('/another/ca.crt')).toThrow('already');
  expect([await handshake(ofFirst), await handshake(ofSecond)]).toEqual([
    'verified',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  ]);
  expect(getCACertificates('default').length).toBeGreaterThan(100);

  // While an authority is replaced, the file has both.
  await files.swap(first.make(['unused.test']), first.ca + second.ca);
  await source.look();
  expect([await handshake(ofFirst), await handshake(ofSecond)]).toEqual(['verified', 'verified']);
  await files.swap(first.make(['unused.test']), second.ca);
  await source.look();
  expect([await handshake(ofFirst), await handshake(ofSecond)]).toEqual([
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'verified',
  ]);
});

test('a server is verified by its time and its name, too', async () => {
  const late = await serve(second.make(['127.0.0.1'], { endsMs: -60_000 }));
  const elsewhere = await serve(second.make(['elsewhere.test']));
  expect([await handshake(late), await handshake(elsewhere)]).toEqual([
    'CERT_HAS_EXPIRED',
    'ERR_TLS_CERT_ALTNAME_INVALID',
  ]);
});

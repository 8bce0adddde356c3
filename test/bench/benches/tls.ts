/** What encryption costs: the same process, which takes plain connections beside those with TLS. */
import { connect } from 'node:tls';
import {
  CreateStockItemRequest,
  InventoryServiceService,
  Reservation,
  ReserveStockRequest,
  StockItem,
} from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { makeAuthority, mount } from '@caudal/tls/testing/certificates.ts';
import { figureOf, percentile, ratioOf } from '../figures.ts';
import { openRest } from '../http.ts';
import { closedLoop, takeTurns } from '../load.ts';
import { startRuntime } from '../runtime.ts';
import type { Bench, Figure } from '../types.ts';
import { openUnary, type TlsFiles } from '../unary.ts';

const bench = 'tls';
const clients = 64;
const name = 'caudal.bench.svc';
const productOf = (client: number) => `P-${client}`;

const request = (client: number): ReserveStockRequest => ({
  requestId: newId(),
  reservationId: newId(),
  lines: [{ productId: productOf(client), quantity: 1n }],
  attributes: {},
  ttl: { seconds: 900n, nanos: 0 },
});

const jsonRequest = (client: number) => ({
  requestId: newId(),
  reservationId: newId(),
  lines: [{ productId: productOf(client), quantity: '1' }],
  ttl: '900s',
});

/** Milliseconds of connecting anew, one after the other, sorted; no session is resumed. */
async function handshakes(address: string, tls: TlsFiles, count: number): Promise<Float64Array> {
  const [host, port] = address.split(':') as [string, string];
  const times: number[] = [];
  for (let n = 0; n < count; n++) {
    const began = performance.now();
    const { ca, certificate, key, name: servername } = tls;
    const socket = connect({
      ...{ host, port: Number(port), ca, cert: certificate, key, servername, ALPNProtocols: ['h2'], timeout: 5_000 },
    });
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve).once('error', reject);
      socket.once('timeout', () => socket.destroy(new Error('No handshake in 5 s')));
    });
    times.push(performance.now() - began);
    socket.destroy();
  }
  return Float64Array.from(times).sort();
}

export const tls: Bench = {
  name: bench,
  title: 'TLS and mTLS',
  compares: `ReserveStock of one process with ${clients} in flight, on plain connections, with TLS 1.3 and (gRPC) with a client's certificate besides: all three at the same port, in turns. handshake: connecting anew, one after the other, without resumption; a connection is kept for minutes otherwise. Client, service and PostgreSQL share the cores, so the client's own encryption counts too.`,
  needs: ['postgres'],

  async run({ quick, say }) {
    const authority = makeAuthority();
    const made = authority.make([name, '127.0.0.1']);
    const files = await mount(made, authority.ca);
    const runtime = await startRuntime({
      CAUDAL_ROLES: 'command',
      CAUDAL_CONTEXTS: 'inventory',
      CAUDAL_TLS_CERTIFICATE: files.certificate,
      CAUDAL_TLS_KEY: files.key,
      CAUDAL_TLS_CA: files.ca,
      CAUDAL_TLS_SERVER_NAME: name,
      CAUDAL_TLS_CLIENTS: 'services',
      CAUDAL_TLS_PLAINTEXT: 'true',
    });
    const { part, token, method } = runtime;
    const { createStockItem, reserveStock } = InventoryServiceService;
    const oneWay: TlsFiles = { ca: authority.ca, name };
    const bothWays: TlsFiles = { ...oneWay, ...made };
    const open = (of?: TlsFiles) =>
      openUnary({
        ...{ address: part.grpc, path: reserveStock.path, token, tls: of },
        ...{ request: ReserveStockRequest, answer: Reservation },
      });
    const grpc = { plain: open(), tls: open(oneWay), mtls: open(bothWays) };
    const rest = {
      plain: openRest(part.rest, token),
      tls: openRest(part.rest.replace('http:', 'https:'), token, authority.ca),
    };
    const create = method(createStockItem.path, CreateStockItemRequest, StockItem);
    const seconds = quick ? 1 : 4;
    const rounds = quick ? 1 : 5;
    try {
      for (let client = 0; client < clients; client++)
        await create.call({
          ...{ requestId: '', productId: productOf(client), kind: '', policy: {}, quantity: 100_000_000n },
        });
      const load = (work: (client: number) => Promise<unknown>) => () => closedLoop({ clients, seconds, work });
      const post = (of: keyof typeof rest) =>
        load((client) => rest[of].send('POST', '/v1/reservations', jsonRequest(client)));
      const measured = await takeTurns(
        {
          'grpc.plain': load((client) => grpc.plain.call(request(client))),
          'grpc.tls': load((client) => grpc.tls.call(request(client))),
          'grpc.mtls': load((client) => grpc.mtls.call(request(client))),
          'rest.plain': post('plain'),
          'rest.tls': post('tls'),
        },
        { rounds, say },
      );
      const rates = (of: keyof typeof measured) => measured[of].map(({ rate }) => rate);
      const figures: Figure[] = [];
      for (const way of ['grpc.plain', 'grpc.tls', 'grpc.mtls', 'rest.plain', 'rest.tls'] as const) {
        figures.push(figureOf({ bench, metric: way, unit: '/s' }, rates(way)));
        const [protocol, kind] = way.split('.') as ['grpc' | 'rest', string];
        if (kind !== 'plain')
          figures.push(ratioOf({ bench, metric: `${way}.vs-plain` }, rates(way), rates(`${protocol}.plain`)));
      }
      const shakes: Record<'tls' | 'mtls', number[]> = { tls: [], mtls: [] };
      for (let round = 1; round <= rounds; round++) {
        say(`handshakes: round ${round} of ${rounds}`);
        const count = quick ? 20 : 200;
        shakes.tls.push(percentile(await handshakes(part.grpc, oneWay, count), 0.5));
        shakes.mtls.push(percentile(await handshakes(part.grpc, bothWays, count), 0.5));
      }
      for (const kind of ['tls', 'mtls'] as const)
        figures.push(figureOf({ bench, metric: `handshake.${kind}`, unit: 'ms' }, shakes[kind]));
      return figures;
    } finally {
      for (const { close } of [...Object.values(grpc), ...Object.values(rest), create]) close();
      await runtime.stop();
      files.remove();
    }
  },
};

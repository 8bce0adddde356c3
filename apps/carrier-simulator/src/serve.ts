/**
 * The carriers' APIs, to be polled. The path begins with the carrier's name; the rest is as the carrier has it:
 *
 *   GET /acme/v1/traces?trackingNumber=N            Authorization: Bearer <credential>
 *   GET /dhl/track/shipments?trackingNumber=N       DHL-API-Key: <credential>
 *   GET /ups/api/track/v1/details/N                 Authorization: Bearer <credential>
 *
 * and for tests: GET /v1/sent, each event as a line of JSON; GET /v1/parcels, each parcel with its outcome; GET /v1/requests, how many
 * there were of each carrier; PUT /v1/control {"carrier": "dhl", "mode": "normal" | "fail" | "limit" | "silent" | "garbage"}.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { answered, importLine } from './formats.ts';
import { type Carrier, carriers, indexOf, parcelOf, type World } from './parcels.ts';

const modes = ['normal', 'fail', 'limit', 'silent', 'garbage'] as const;
export type Mode = (typeof modes)[number];

export interface ServeOptions {
  world: World;
  /** Parcels from this number on are unknown. */
  parcels: number;
  credential: string;
  /** Later events have not happened yet. */
  clock: () => number;
  /** 0: any that is free. */
  port: number;
}

export interface Served {
  url: string;
  requests: Readonly<Record<Carrier, number>>;
  setMode(carrier: Carrier, mode: Mode): void;
  stop(): Promise<void>;
}

interface Answer {
  status: number;
  body?: string;
  headers?: Record<string, string>;
}

/** Listens on loopback. */
export async function serve({ world, parcels, credential, clock, port }: ServeOptions): Promise<Served> {
  const requests: Record<Carrier, number> = { acme: 0, dhl: 0, ups: 0 };
  const mode: Record<Carrier, Mode> = { acme: 'normal', dhl: 'normal', ups: 'normal' };

  const server = createServer((request, response) => {
    handle(request, response).catch((error: Error) => {
      if (response.headersSent) response.destroy();
      else send(response, json(400, { error: error.message }));
    });
  });

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://simulator');
    const carrier = carriers.find((each) => url.pathname.startsWith(`/${each}/`));
    if (carrier) {
      const answer = poll(carrier, url, request);
      // No answer: the request hangs until the caller gives up.
      if (answer) send(response, answer);
      return;
    }
    if (url.pathname === '/v1/control' && request.method === 'PUT') return send(response, control(await text(request)));
    if (url.pathname === '/v1/requests') return send(response, json(200, requests));
    if (url.pathname === '/v1/sent') return lines(response, sentLines());
    if (url.pathname === '/v1/parcels') return lines(response, parcelLines());
    send(response, json(404, { error: 'There is no such path.' }));
  }

  function poll(carrier: Carrier, url: URL, request: IncomingMessage): Answer | undefined {
    requests[carrier] += 1;
    if (mode[carrier] === 'silent') return undefined;
    if (mode[carrier] === 'fail') return json(503, { error: 'away' });
    if (mode[carrier] === 'garbage') return { status: 200, body: '<html>maintenance</html>' };
    if (mode[carrier] === 'limit') return { ...json(429, { error: 'too many' }), headers: { 'retry-after': '120' } };
    const { authorization, 'dhl-api-key': apiKey } = request.headers;
    if ((carrier === 'dhl' ? apiKey : authorization?.replace(/^Bearer /, '')) !== credential)
      return json(401, { error: 'The credential is wrong.' });
    const number = url.searchParams.get('trackingNumber') ?? decodeURIComponent(url.pathname.split('/').at(-1)!);
    const index = indexOf(carrier, number);
    const parcel = index !== undefined && index < parcels ? parcelOf(world, index) : undefined;
    if (parcel?.trackingNumber !== number || parcel.carrier !== carrier) return json(404, { error: 'unknown parcel' });
    const now = clock();
    return json(200, answered(parcel, parcel.events.filter(({ at }) => at <= now).reverse()));
  }

  function control(body: string): Answer {
    const { carrier, mode: wanted } = JSON.parse(body) as { carrier?: Carrier; mode?: Mode };
    if (!carriers.includes(carrier!) || !modes.includes(wanted!))
      return json(400, { error: `Give a carrier of ${carriers.join(', ')} and a mode of ${modes.join(', ')}.` });
    mode[carrier!] = wanted!;
    return json(200, mode);
  }

  function* sentLines(): Generator<object> {
    for (let index = 0; index < parcels; index++) {
      const parcel = parcelOf(world, index);
      for (const event of parcel.events) yield importLine(parcel, event);
    }
  }

  function* parcelLines(): Generator<object> {
    for (let index = 0; index < parcels; index++) {
      const { carrier, trackingNumber, order, scenario, outcome } = parcelOf(world, index);
      yield { carrier, trackingNumber, order, scenario, outcome };
    }
  }

  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    setMode(carrier, next) {
      mode[carrier] = next;
    },
    async stop() {
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

const json = (status: number, body: object): Answer => ({ status, body: JSON.stringify(body) });

function send(response: ServerResponse, { status, body, headers }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
}

async function lines(response: ServerResponse, values: Iterable<object>): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  for (const value of values) {
    if (response.destroyed) return;
    if (!response.write(`${JSON.stringify(value)}\n`)) await once(response, 'drain');
  }
  response.end();
}

/**
 * A payment gateway for tests and demos: a real HTTP server that keeps its accounts in memory. The card's token decides
 * the outcome of a charge:
 *
 *   tok_approved, or any other      approved
 *   tok_declined                    declined, CARD_DECLINED
 *   tok_insufficient                declined, INSUFFICIENT_FUNDS
 *   tok_timeout                     takes the money, never answers a charge
 *   tok_timeout_then_ok_N           takes the money, does not answer the first N times
 *   tok_error                       HTTP 500, takes nothing
 *   tok_error_then_ok_N             HTTP 500 the first N times, then approved
 *   tok_conflict_then_ok_N          takes the money, HTTP 409 the first N times, as if the charge were still in flight
 *
 * POST /v1/charges with an Idempotency-Key; POST /v1/charges/{key}/void and /refund; PUT /v1/charges/{key}/refunds/{id} with an
 * amount, for a part; GET /v1/ledger; and for all calls
 * PUT /v1/control {"mode": "normal" | "fail" | "timeout" | "decline" | "refuse"}; "refuse": HTTP 409 to every call.
 *
 * A key's first outcome is final. A void before the charge declines it when it arrives. A refund of an unknown charge
 * is recorded and accepted: a restart loses the accounts, and the money is not real.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Running } from '@caudal/kernel/lifetime.ts';

export type SandboxMode = 'normal' | 'fail' | 'timeout' | 'decline' | 'refuse';

/** The gateway's record of a charge. */
export interface LedgerEntry {
  state: 'new' | 'approved' | 'declined' | 'voided' | 'refunded';
  /** How often money was taken, and what was left of it given back. */
  taken: number;
  givenBack: number;
  /** Parts that were given back: minor units by the id of the refund. */
  parts: Record<string, string>;
  /** Minor units, and currency. */
  amount: string;
  currency: string;
  /** How often the charge was requested. */
  asked: number;
  reference: string;
  reason: string;
}

export interface SandboxGateway extends Running {
  /** Base URL. */
  url: string;
  /** By key. */
  ledger: ReadonlyMap<string, LedgerEntry>;
  /** Number of requests of any kind. */
  requests(): number;
  setMode(mode: SandboxMode): void;
}

interface Answer {
  status: number;
  body: object;
}

const modes = new Set<unknown>(['normal', 'fail', 'timeout', 'decline', 'refuse']);

/** Starts the gateway. `port`: 0 or absent for any that is free; `host`: 127.0.0.1 if absent. */
export async function startSandboxGateway(options: { port?: number; host?: string } = {}): Promise<SandboxGateway> {
  const ledger = new Map<string, LedgerEntry>();
  let mode: SandboxMode = 'normal';
  let requests = 0;

  const server = createServer((request, response) => {
    requests += 1;
    answer(request)
      .catch((error: Error): Answer => ({ status: 400, body: { reason: 'BAD_REQUEST', detail: error.message } }))
      // No answer: the request hangs until the caller gives up.
      .then((found) => found && send(response, found));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;

  async function answer(request: IncomingMessage): Promise<Answer | undefined> {
    const [, action] = /^\/v1\/charges\/[^/]+\/(void|refund)$/.exec(request.url ?? '') ?? [];
    const [, charged, refundId] = /^\/v1\/charges\/([^/]+)\/refunds\/([^/]+)$/.exec(request.url ?? '') ?? [];
    const body: Record<string, unknown> = request.method === 'GET' ? {} : JSON.parse((await text(request)) || '{}');
    if (request.url === '/v1/ledger') return { status: 200, body: Object.fromEntries(ledger) };
    if (request.url === '/v1/control') return control(body);
    const key = request.headers['idempotency-key'];
    if (request.method !== (refundId ? 'PUT' : 'POST') || typeof key !== 'string')
      return { status: 404, body: { reason: 'NOT_FOUND' } };
    if (mode === 'fail') return { status: 500, body: {} };
    if (mode === 'refuse') return { status: 409, body: {} };
    if (request.url === '/v1/charges') return charge(key, body);
    if (refundId) {
      const answered = givePartBack(decodeURIComponent(charged!), decodeURIComponent(refundId), body);
      return mode === 'timeout' ? undefined : answered;
    }
    if (action) {
      giveBack(key, action === 'void' ? 'voided' : 'refunded');
      return mode === 'timeout' ? undefined : { status: 200, body: { status: ledger.get(key)!.state } };
    }
    return { status: 404, body: { reason: 'NOT_FOUND' } };
  }

  function control(body: Record<string, unknown>): Answer {
    if (!modes.has(body.mode)) return { status: 400, body: { reason: 'UNKNOWN_MODE' } };
    mode = body.mode as SandboxMode;
    return { status: 200, body: { mode } };
  }

  function charge(key: string, body: Record<string, unknown>): Answer | undefined {
    const entry = entryOf(key);
    entry.asked += 1;
    const token = String(body.card_token);
    const [, behaviour, times] = /^tok_(timeout|error|conflict)(?:_then_ok_(\d+))?$/.exec(token) ?? [];
    const stillTroubled = behaviour !== undefined && entry.asked <= Number(times ?? Number.POSITIVE_INFINITY);
    if (behaviour === 'error' && stillTroubled) return { status: 500, body: {} };
    if (entry.state === 'new') decide(entry, token, body);
    if ((behaviour === 'timeout' && stillTroubled) || mode === 'timeout') return undefined;
    if (behaviour === 'conflict' && stillTroubled) return { status: 409, body: {} };
    // The first answer, even if the money has been given back since; but a void before the charge declines it.
    return entry.reference
      ? { status: 200, body: { status: 'approved', reference: entry.reference } }
      : { status: 200, body: { status: 'declined', reason: entry.reason } };
  }

  function decide(entry: LedgerEntry, token: string, { amount, currency }: Record<string, unknown>): void {
    Object.assign(entry, { amount: String(amount), currency: String(currency) });
    const declined: Record<string, string> = { tok_declined: 'CARD_DECLINED', tok_insufficient: 'INSUFFICIENT_FUNDS' };
    const reason = mode === 'decline' ? 'CARD_DECLINED' : declined[token];
    if (reason) Object.assign(entry, { state: 'declined', reason });
    else Object.assign(entry, { state: 'approved', taken: 1, reference: `sandbox-${ledger.size}` });
  }

  function giveBack(key: string, state: 'voided' | 'refunded'): void {
    const entry = entryOf(key);
    if (entry.state === 'approved') Object.assign(entry, { state, givenBack: 1 });
    if (entry.state === 'new') Object.assign(entry, { state, reason: 'VOIDED' });
  }

  function givePartBack(charged: string, key: string, body: Record<string, unknown>): Answer {
    const entry = entryOf(charged);
    const done = { status: 200, body: { status: 'refunded' } };
    if (Object.hasOwn(entry.parts, key)) return done;
    if (entry.state === 'approved') {
      const given = Object.values(entry.parts).reduce((sum, part) => sum + BigInt(part), BigInt(String(body.amount)));
      if (given > BigInt(entry.amount)) return { status: 409, body: { reason: 'REFUND_TOO_LARGE' } };
    } else if (entry.state !== 'new') {
      return { status: 409, body: { reason: 'NOTHING_TO_REFUND' } };
    }
    entry.parts[key] = String(body.amount);
    return done;
  }

  function entryOf(key: string): LedgerEntry {
    let entry = ledger.get(key);
    if (!entry) {
      entry = {
        state: 'new',
        taken: 0,
        givenBack: 0,
        parts: {},
        amount: '0',
        currency: '',
        asked: 0,
        reference: '',
        reason: '',
      };
      ledger.set(key, entry);
    }
    return entry;
  }

  return {
    url: `http://${options.host ?? '127.0.0.1'}:${port}`,
    ledger,
    requests: () => requests,
    setMode(next) {
      mode = next;
    },
    async stop() {
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

function send(response: ServerResponse, { status, body }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

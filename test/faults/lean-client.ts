/**
 * Deposits over REST and gRPC by Node's own HTTP clients, at a third of the cost of fetch and grpc-js. The generator
 * makes thousands of calls a second on the same machine, and must leave the server its cores.
 */
import { Agent, type IncomingMessage, request } from 'node:http';
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';
import { fromBinary, type Message } from '@bufbuild/protobuf';
import { type Any, anyUnpack } from '@bufbuild/protobuf/wkt';
import { contract } from '@caudal/contract/descriptors.ts';
import { WalletServiceService } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { malformedProblem } from './measured-calls.ts';

export interface Deposit {
  walletId: string;
  reference: string;
}

/** `done`; `refused`, in the form of an overloaded server; or anything else. */
export type Outcome = 'done' | 'refused' | { instead: string };

export interface LeanClient {
  rest(deposit: Deposit): Promise<Outcome>;
  grpc(deposit: Deposit): Promise<Outcome>;
  close(): void;
}

const timeoutMs = 10_000;
/** More than the server can have in flight, with some for answers that are read late on a busy machine. */
const maxSockets = 512;
/** Each has as many calls in flight as the server allows per connection. */
const sessions = 4;
const amount = { minorUnits: 1n, currency: 'GBP' };
const { path, requestSerialize } = WalletServiceService.deposit;

export function openLeanClient({ rest, grpc, token }: { rest: string; grpc: string; token: string }): LeanClient {
  const agent = new Agent({ keepAlive: true, maxSockets, scheduling: 'lifo' });
  const { hostname, port } = new URL(rest);
  const authorization = `Bearer ${token}`;
  const open: (ClientHttp2Session | undefined)[] = [];
  let turn = 0;

  function session(): ClientHttp2Session {
    turn = (turn + 1) % sessions;
    const known = open[turn];
    if (known && !known.closed && !known.destroyed) return known;
    const fresh = connect(`http://${grpc}`);
    // Each of its streams gets the error as well.
    fresh.on('error', () => {});
    open[turn] = fresh;
    return fresh;
  }

  return {
    rest: ({ walletId, reference }) =>
      new Promise((resolve) => {
        const body = JSON.stringify({ amount: { minorUnits: '1', currency: 'GBP' }, reference, requestId: newId() });
        const headers = {
          authorization,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
        };
        const options = { agent, hostname, port, method: 'POST', path: `/v1/wallets/${walletId}:deposit`, headers };
        const call = request(options, (answer) => {
          let text = '';
          answer.setEncoding('utf8');
          answer.on('data', (chunk) => {
            text += chunk;
          });
          answer.on('end', () => resolve(restOutcome(answer, text)));
          answer.on('error', (error) => resolve({ instead: `REST: ${error.message}` }));
        });
        call.setTimeout(timeoutMs, () => call.destroy(new Error('no answer')));
        call.on('error', (error) => resolve({ instead: `REST: ${error.message}` }));
        call.end(body);
      }),

    grpc: ({ walletId, reference }) =>
      new Promise((resolve) => {
        const message = requestSerialize({ requestId: newId(), walletId, amount, reference });
        const frame = Buffer.allocUnsafe(5 + message.length);
        frame.writeUInt8(0, 0);
        frame.writeUInt32BE(message.length, 1);
        message.copy(frame, 5);
        const call = session().request({
          ':method': 'POST',
          ':path': path,
          'content-type': 'application/grpc',
          te: 'trailers',
          authorization,
          'grpc-timeout': '5S',
        });
        let ending: IncomingHttpHeaders = {};
        // A refusal has no message: it is headers only, and these hold the status.
        call.on('response', (headers) => {
          if (headers['grpc-status'] !== undefined) ending = headers;
        });
        call.on('trailers', (trailers) => {
          ending = trailers;
        });
        call.on('error', (error) => resolve({ instead: `gRPC: ${error.message}` }));
        call.on('close', () => resolve(grpcOutcome(ending)));
        call.setTimeout(timeoutMs, () => call.close());
        call.resume();
        call.end(frame);
      }),

    close() {
      agent.destroy();
      for (const each of open) each?.destroy();
    },
  };
}

function restOutcome({ statusCode, headers }: IncomingMessage, text: string): Outcome {
  if (statusCode === 200) return 'done';
  const instead = (why: string) => ({ instead: `REST ${statusCode}, ${why}: ${text.slice(0, 300)}` });
  if (statusCode !== 429) return instead('neither done nor refused');
  try {
    const body = JSON.parse(text);
    const malformed = malformedProblem(429, headers['content-type'] ?? null, body);
    if (malformed) return instead(malformed);
    if (body.code !== 'RESOURCE_EXHAUSTED' || body.reason !== 'SERVER_BUSY') return instead('for another reason');
    if (!(body.retryAfterMs > 0)) return instead('without retryAfterMs');
    return Number(headers['retry-after']) >= 1 ? 'refused' : instead(`Retry-After is ${headers['retry-after']}`);
  } catch {
    return instead('no JSON');
  }
}

function grpcOutcome(ending: IncomingHttpHeaders): Outcome {
  const code = ending['grpc-status'];
  if (code === '0') return 'done';
  const instead = (why: string) => ({ instead: `gRPC ${code}, ${why}: ${ending['grpc-message']}` });
  if (code !== '8') return instead('neither done nor refused');
  try {
    const details = detailsOf(Buffer.from(String(ending['grpc-status-details-bin']), 'base64'));
    const { reason, domain } = details['google.rpc.ErrorInfo'] ?? {};
    if (reason !== 'SERVER_BUSY' || domain !== 'caudal') return instead(`ErrorInfo is ${reason} of ${domain}`);
    const { seconds = 0n, nanos = 0 } = details['google.rpc.RetryInfo']?.retryDelay ?? {};
    return Number(seconds) * 1e9 + nanos > 0 ? 'refused' : instead('no RetryInfo');
  } catch (error) {
    return instead(`${error}`);
  }
}

interface Details {
  'google.rpc.ErrorInfo'?: { reason: string; domain: string };
  'google.rpc.RetryInfo'?: { retryDelay?: { seconds: bigint; nanos: number } };
}

/**
 * The details of a google.rpc.Status of RESOURCE_EXHAUSTED by their type. Throws if it has another code, or a type
 * twice.
 */
function detailsOf(bytes: Uint8Array): Details {
  const { registry } = contract();
  const status = fromBinary(registry.getMessage('google.rpc.Status')!, bytes) as Message & {
    code: number;
    details: Any[];
  };
  if (status.code !== 8) throw new Error(`the status has the code ${status.code}`);
  const details: Record<string, unknown> = {};
  for (const packed of status.details) {
    const found = anyUnpack(packed, registry);
    if (!found || found.$typeName in details) throw new Error(`${packed.typeUrl} is not known, or there twice`);
    details[found.$typeName] = found;
  }
  return details as Details;
}

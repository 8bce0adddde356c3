/** One connection: sends bytes, receives bytes, and finds the responses in them. */
import { connect } from 'node:net';

export interface Exchange {
  received: Buffer;
  /** `closed`: by the server, without an error; `reset`; `overdue`: still open at the end of the time limit. */
  ended: 'closed' | 'reset' | 'overdue';
  ms: number;
}

/**
 * Sends the bytes, and reads until the server closes. `unfinished`: a server may wait for more bytes; after a second
 * without an answer the client ends its side. (Never otherwise: Node drops a call whose client has ended its side.)
 */
export function exchange(
  port: number,
  { bytes, unfinished }: { bytes: Uint8Array; unfinished: boolean },
  timeoutMs: number,
): Promise<Exchange> {
  return new Promise((resolve) => {
    const started = performance.now();
    const chunks: Buffer[] = [];
    let ended: Exchange['ended'] = 'closed';
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.write(bytes));
    const giveUp = setTimeout(() => {
      ended = 'overdue';
      socket.destroy();
    }, timeoutMs);
    if (unfinished) socket.setTimeout(1_000, () => socket.end());
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => socket.end());
    socket.on('error', () => {
      // A request that was answered before all of it was sent may reset the connection.
      ended = 'reset';
    });
    socket.on('close', () => {
      clearTimeout(giveUp);
      resolve({ received: Buffer.concat(chunks), ended, ms: performance.now() - started });
    });
  });
}

export interface HttpResponse {
  status: number;
  /** By names in lower case. */
  headers: Map<string, string>;
  body: Buffer;
}

/**
 * The responses in these bytes, without those of status 100 and 102. Throws if there is anything else in them.
 * `withoutBody`: whether the first one answers HEAD.
 */
export function responsesIn(received: Buffer, withoutBody: boolean): HttpResponse[] {
  const responses: HttpResponse[] = [];
  for (let offset = 0; offset < received.length; ) {
    const end = received.indexOf('\r\n\r\n', offset);
    if (end === -1) throw new Error(`no end of the head: ${received.subarray(offset, offset + 100)}`);
    const [line = '', ...lines] = received.subarray(offset, end).toString('latin1').split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3})(?: .*)?$/.exec(line)?.[1]);
    if (!status) throw new Error(`no status line: ${line.slice(0, 100)}`);
    const headers = new Map(
      lines.map((each) => [each.split(':')[0]!.toLowerCase(), each.slice(each.indexOf(':') + 1).trim()]),
    );
    offset = end + 4;
    const isBare =
      status < 200 ||
      status === 204 ||
      status === 304 ||
      (withoutBody && responses.length === 0 && !isBodyAt(received, offset));
    const { body, next } = isBare ? { body: Buffer.of(), next: offset } : bodyAt(received, offset, headers);
    offset = next;
    if (status >= 200) responses.push({ status, headers, body });
  }
  return responses;
}

/** A server that can't read a request does not know that it was HEAD, and sends a body. */
const isBodyAt = (received: Buffer, offset: number) =>
  offset < received.length && received.subarray(offset, offset + 5).toString() !== 'HTTP/';

function bodyAt(received: Buffer, offset: number, headers: Map<string, string>): { body: Buffer; next: number } {
  if (headers.get('transfer-encoding') === 'chunked') return chunkedAt(received, offset);
  const length = headers.get('content-length');
  const next = length === undefined ? received.length : offset + Number(length);
  if (!(next <= received.length)) throw new Error(`a body of ${received.length - offset} bytes instead of ${length}`);
  return { body: received.subarray(offset, next), next };
}

function chunkedAt(received: Buffer, start: number): { body: Buffer; next: number } {
  const chunks: Buffer[] = [];
  for (let offset = start; ; ) {
    const line = received.indexOf('\r\n', offset);
    const size = line === -1 ? Number.NaN : Number.parseInt(received.subarray(offset, line).toString('latin1'), 16);
    const next = line + 2 + size + 2;
    if (!(next <= received.length)) throw new Error('chunks without an end');
    if (size === 0) return { body: Buffer.concat(chunks), next };
    chunks.push(received.subarray(line + 2, line + 2 + size));
    offset = next;
  }
}

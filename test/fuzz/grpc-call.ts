/**
 * gRPC over plain HTTP/2: any bytes as the message, any headers, and the answer as it is on the wire. grpc-js's client
 * would refuse to send half of it, and would interpret the answer.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';

export interface GrpcRequest {
  path: string;
  /** The bytes of the stream: usually `framed(message)`. */
  body: Uint8Array;
  /** Added to the headers that gRPC needs, or replacing them. */
  headers: Record<string, string | string[]>;
}

export interface GrpcReply {
  /** `answered`: the server ended the stream; `broken`: the stream was reset or the connection closed. */
  ended: 'answered' | 'broken' | 'overdue';
  httpStatus: number;
  /** Headers and trailers together. */
  headers: IncomingHttpHeaders;
  /** The whole body. */
  body: Buffer;
  ms: number;
}

export interface GrpcCaller {
  call(request: GrpcRequest, timeoutMs: number): Promise<GrpcReply>;
  close(): void;
}

/** A message in gRPC's frame: not compressed, its length, the message. */
export function framed(message: Uint8Array, { compressed = 0, length = message.length } = {}): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed, 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}

/** The messages of a body; undefined if it does not consist of whole, uncompressed messages. */
export function messagesIn(body: Buffer): Buffer[] | undefined {
  const messages: Buffer[] = [];
  for (let offset = 0; offset < body.length; ) {
    if (body.length < offset + 5 || body[offset] !== 0) return undefined;
    const end = offset + 5 + body.readUInt32BE(offset + 1);
    if (end > body.length) return undefined;
    messages.push(body.subarray(offset + 5, end));
    offset = end;
  }
  return messages;
}

/** A bound for this client's memory, against a server that sends without end. */
const maxBodyBytes = 64 * 1024 * 1024;

/** Calls `host:port` over one connection. A new one is opened after the server has closed it. */
export function openGrpcCaller(address: string): GrpcCaller {
  let session: ClientHttp2Session | undefined;
  const open = (): ClientHttp2Session => {
    if (session && !session.closed && !session.destroyed) return session;
    // Node's defaults are limits for correct clients.
    const made = connect(`http://${address}`, { maxSendHeaderBlockLength: 1024 * 1024, maxSessionMemory: 1_000 });
    // The streams report errors of the connection.
    made.on('error', () => {});
    made.on('goaway', () => made.close());
    session = made;
    return made;
  };

  return {
    call: ({ path, body, headers }, timeoutMs) =>
      new Promise((resolve) => {
        const started = performance.now();
        const chunks: Buffer[] = [];
        let size = 0;
        let received: IncomingHttpHeaders = {};
        let stream: ClientHttp2Stream | undefined;
        const end = (ended: GrpcReply['ended']) => {
          clearTimeout(timer);
          stream?.close(constants.NGHTTP2_CANCEL);
          const httpStatus = Number(received[':status'] ?? 0);
          resolve({
            ended,
            httpStatus,
            headers: received,
            body: Buffer.concat(chunks),
            ms: performance.now() - started,
          });
        };
        const timer = setTimeout(() => end('overdue'), timeoutMs);
        try {
          stream = open().request({
            ':method': 'POST',
            ':path': path,
            'content-type': 'application/grpc',
            te: 'trailers',
            ...headers,
          });
        } catch (error) {
          // If Node refuses to send a header, the generator is wrong.
          clearTimeout(timer);
          throw error;
        }
        stream.on('response', (head) => {
          received = { ...received, ...head };
        });
        stream.on('trailers', (tail) => {
          received = { ...received, ...tail };
        });
        stream.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size <= maxBodyBytes) chunks.push(chunk);
        });
        stream.on('error', () => {});
        stream.on('close', () =>
          end(received['grpc-status'] === undefined && !received[':status'] ? 'broken' : 'answered'),
        );
        stream.end(body);
      }),
    close: () => session?.destroy(),
  };
}

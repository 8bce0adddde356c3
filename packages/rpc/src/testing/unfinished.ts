/** For tests: gRPC calls that are sent in part, and not read. */
import type { ClientHttp2Session } from 'node:http2';

/** A gRPC call of which only some bytes are sent, and its end. `deaf`: it does not read. */
export function call(on: ClientHttp2Session, path: string, headers: Record<string, string> = {}, deaf = false) {
  const stream = on.request({
    ':path': path,
    ':method': 'POST',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  const seen: { headers?: Record<string, unknown>; closed: boolean } = { closed: false };
  stream.on('error', () => {});
  if (!deaf) stream.resume();
  stream.on('response', (received) => {
    seen.headers = received;
  });
  stream.on('trailers', (received) => {
    seen.headers = { ...seen.headers, ...received };
  });
  stream.on('close', () => {
    seen.closed = true;
  });
  return { stream, seen };
}

/** The head of a message of this length, of which a part follows. */
export function begun(length: number, part: number): Buffer {
  const bytes = Buffer.alloc(5 + part, 0x61);
  bytes[0] = 0;
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

/** The code that a call has got; -1 before. */
export const codeOf = ({ seen }: ReturnType<typeof call>) => Number(seen.headers?.['grpc-status'] ?? -1);

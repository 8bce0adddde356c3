/** For tests: gRPC calls with raw bytes, and their raw answers. */
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { fromStatus } from '../errors.ts';

interface Given {
  /** A token. */
  as?: string;
  headers?: Record<string, string>;
}

/** `gzip`: compresses each message. */
export function grpcCalls(address: string, { gzip = false } = {}) {
  const client = new Client(address, credentials.createInsecure(), {
    ...(gzip && { 'grpc.default_compression_algorithm': 2 }),
  });
  const send = (path: string, bytes: Uint8Array, { as, headers = {} }: Given = {}) => {
    const metadata = new Metadata();
    if (as) metadata.set('authorization', `Bearer ${as}`);
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const same = (value: Buffer) => value;
    return new Promise<Buffer>((resolve, reject) => {
      const deadline = Date.now() + 20_000;
      client.makeUnaryRequest(path, same, same, Buffer.from(bytes), metadata, { deadline }, (error, response) =>
        error ? reject(error) : resolve(response!),
      );
    });
  };
  const error = (path: string, bytes: Uint8Array, given?: Given): Promise<ServiceError> =>
    send(path, bytes, given).then(
      () => Promise.reject(new Error(`${path} was not refused.`)),
      (refused: ServiceError) => refused,
    );
  return {
    /** The bytes of the answer. Rejects with grpc-js's error. */
    send,
    /** The error of grpc-js. Rejects if there is none. */
    error,
    /** The error of Caudal's client. */
    refusal: async (path: string, bytes: Uint8Array, given?: Given): Promise<CaudalError> =>
      fromStatus(await error(path, bytes, given), 'probe'),
    close: () => client.close(),
  };
}

/** gRPC as independent clients may use it: any bytes to any path, with any token. */
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { fromStatus } from '@caudal/rpc/errors.ts';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';

export interface GrpcCaller {
  /** Sends the bytes. Resolves with the error, or with undefined if the call was answered. */
  refusal(path: string, bytes: Uint8Array, token: string | undefined): Promise<CaudalError | undefined>;
  close(): void;
}

const timeoutMs = 10_000;

export function openGrpc(address: string): GrpcCaller {
  const client = new Client(address, credentials.createInsecure());
  const asItIs = (bytes: Buffer) => bytes;
  return {
    refusal: (path, bytes, token) =>
      new Promise((resolve) => {
        const metadata = new Metadata();
        if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
        const deadline = Date.now() + timeoutMs;
        client.makeUnaryRequest(path, asItIs, asItIs, Buffer.from(bytes), metadata, { deadline }, (error) =>
          resolve(error ? fromStatus(error as ServiceError, path) : undefined),
        );
      }),
    close: () => client.close(),
  };
}

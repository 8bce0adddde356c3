/** gRPC as independent clients may use it: any bytes to any path, with any token. */
import { fromBinary, type Message, toBinary } from '@bufbuild/protobuf';
import { contract } from '@caudal/contract/descriptors.ts';
import { Status } from '@caudal/contract/gen/google/rpc/status.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { fromStatus } from '@caudal/rpc/errors.ts';
import { errorIn } from '@caudal/rpc/testing/message-streams.ts';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';

export interface GrpcCaller {
  /**
   * Sends the bytes. Resolves with the error, or with undefined if the call was answered. Of a method with streams they are its only
   * message, and the error may be in the answer.
   */
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
        client.makeUnaryRequest(path, asItIs, asItIs, Buffer.from(bytes), metadata, { deadline }, (error, answer) =>
          resolve(error ? fromStatus(error as ServiceError, path) : errorInAnswer(path, answer!)),
        );
      }),
    close: () => client.close(),
  };
}

/** The error in an answer of a method with streams. */
function errorInAnswer(path: string, bytes: Buffer): CaudalError | undefined {
  const method = contract()
    .methods()
    .find((each) => each.path === path);
  if (!method?.stream) return undefined;
  const { error } = fromBinary(method.response, bytes) as Message & { error?: Message };
  const type = contract().registry.getMessage('google.rpc.Status')!;
  return error && errorIn(Status.decode(toBinary(type, error)));
}

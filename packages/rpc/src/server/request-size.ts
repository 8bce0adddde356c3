/** The bound of a request: the method's own in the contract, or the server's. */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';

/** The bound of a method's requests in bytes. `general` is used if the contract has none. */
export const boundOf = ({ maxRequestBytes }: MethodContract, general: number): number => maxRequestBytes ?? general;

/** The error for a longer request: 413, and over gRPC RESOURCE_EXHAUSTED, as grpc-js itself answers. */
export const tooLarge = (bound: number): CaudalError =>
  new CaudalError('RESOURCE_EXHAUSTED', 'REQUEST_TOO_LARGE', `The request has more than ${bound} bytes.`, {
    metadata: { max_request_bytes: String(bound) },
  });

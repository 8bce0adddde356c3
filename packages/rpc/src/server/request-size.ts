/** How long a request may be: what the contract says of its method, or what the server takes of any. */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';

/** The bound of a method's requests in bytes. `general`: where the contract says nothing. */
export const boundOf = ({ maxRequestBytes }: MethodContract, general: number): number => maxRequestBytes ?? general;

/** What a request of more bytes is answered with: 413, and over gRPC RESOURCE_EXHAUSTED as grpc-js says it, too. */
export const tooLarge = (bound: number): CaudalError =>
  new CaudalError('RESOURCE_EXHAUSTED', 'REQUEST_TOO_LARGE', `The request has more than ${bound} bytes.`, {
    metadata: { max_request_bytes: String(bound) },
  });

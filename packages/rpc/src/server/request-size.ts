/** The bounds of a request in bytes and time: the method's own in the contract, or the server's. */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { maxTextBytes } from '../schema/bounds.ts';
import { noteRefusal } from './places.ts';

/** The bound of a method's requests in bytes. `general` is used if the contract has none. */
export const boundOf = ({ maxRequestBytes }: MethodContract, general: number): number => maxRequestBytes ?? general;

/** The most bytes of a text that has no rule: what the contract says of the whole request, or a general bound. */
export const textBoundOf = ({ maxRequestBytes }: MethodContract): number => maxRequestBytes ?? maxTextBytes;

/** The error for a longer request: 413, and over gRPC RESOURCE_EXHAUSTED, as grpc-js itself answers. */
export const tooLarge = (bound: number): CaudalError =>
  new CaudalError('RESOURCE_EXHAUSTED', 'REQUEST_TOO_LARGE', `The request has more than ${bound} bytes.`, {
    metadata: { max_request_bytes: String(bound) },
  });

/** The error for a request that does not arrive completely in time. */
export function tooSlow(): CaudalError {
  noteRefusal('REQUEST_TIMEOUT');
  return new CaudalError('DEADLINE_EXCEEDED', 'REQUEST_TIMEOUT', 'The request did not arrive completely in time.');
}

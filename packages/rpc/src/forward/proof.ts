/**
 * The proof that a peer is the process whose row in the database was read. The address of a pod that has ended may belong to
 * another one a moment later, and callers' tokens must not be sent there.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** Headers of the stream: what the forwarding process asks, and what the owner answers. */
export const nonceHeader = 'caudal-forward-nonce';
export const proofHeader = 'caudal-forward-proof';
/** The owner's proof by the key of its workload, where the processes have keys. */
export const signedProofHeader = 'caudal-forward-signed-proof';

export const newNonce = (): string => randomBytes(16).toString('base64url');

export function proofOf(instance: string, nonce: string): string {
  return createHmac('sha256', instance).update(nonce).digest('base64url');
}

export function isProof(given: unknown, instance: string, nonce: string): boolean {
  const expected = Buffer.from(proofOf(instance, nonce));
  const received = Buffer.from(typeof given === 'string' ? given : '');
  return received.length === expected.length && timingSafeEqual(received, expected);
}

/** The digest of many rows, in whatever order they come. */
import { createHash } from 'node:crypto';

const modulus = 2n ** 256n;

/** Sums up the hashes of contents: the same for the same ones in any order. */
export function openSum() {
  let sum = 0n;
  let count = 0;
  return {
    add(content: string): void {
      sum = (sum + BigInt(`0x${createHash('sha256').update(content).digest('hex')}`)) % modulus;
      count += 1;
    },
    /** How many were added, and their sum in 64 hexadecimal digits. */
    result: () => ({ count, digest: sum.toString(16).padStart(64, '0') }),
  };
}

import { hash } from 'node:crypto';

/**
 * SHA-256 as bytes. Node makes a text of it in half the time of a buffer (1.4 and 2.7 us for 200 bytes), since each such buffer is memory
 * outside the heap.
 */
export const sha256 = (content: string | Uint8Array): Buffer =>
  Buffer.from(hash('sha256', content, 'binary'), 'latin1');

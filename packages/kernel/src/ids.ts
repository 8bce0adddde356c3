/** Ids: time-ordered ones for new things, and ones that follow from other ids so that a repeat finds the same. */
import { hash, randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

/** Makes ids; injected wherever a test wants to know them. */
export type IdSource = () => string;

/** Random bytes for 256 ids at a time: asking the system for each id's own costs more than all else about it. */
const pool = new Uint8Array(256 * 16);
let used = pool.length;

function randomBytes(): Uint8Array {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += 16;
  return pool.subarray(used - 16, used);
}

/** A UUIDv7 (RFC 9562): unique, and ordered by time, to the millisecond. */
export const newId: IdSource = () => v7({ random: randomBytes() });

/**
 * The id that follows from these parts: a UUIDv8 (RFC 9562, 5.8) of their SHA-256. Equal parts give equal ids;
 * ['a', 'bc'] and ['ab', 'c'] differ.
 */
export function derivedId(...parts: (string | number)[]): string {
  let text = '';
  for (const part of parts) text += `${Buffer.byteLength(String(part))}:${part};`;
  const bytes = hash('sha256', text, 'buffer').subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** 16 bytes that stand for a request's content, to tell a repeat from a reuse of its id. */
export function contentHash(content: Uint8Array): Buffer {
  return hash('sha256', content, 'buffer').subarray(0, 16);
}

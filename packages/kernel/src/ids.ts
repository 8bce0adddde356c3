/** Ids: time-ordered ones for new resources, and ones derived from other ids, so that a repeat derives the same. */
import { hash, randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';
import { sha256 } from './sha256.ts';

/** Makes ids; injected, so that tests can set them. */
export type IdSource = () => string;

/** Random bytes for 256 ids at a time: a call of the system for each id would cost more than the rest of its making. */
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

const beginsWithV7 = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;

/** The milliseconds since 1970 in an id that is, or begins with, a UUIDv7 in small letters; undefined for other ids. */
export function timeOfId(id: string): number | undefined {
  const match = beginsWithV7.exec(id);
  return match ? Number.parseInt(match[1]! + match[2]!, 16) : undefined;
}

/**
 * The id derived from these parts: a UUIDv8 (RFC 9562, 5.8) of their SHA-256. Equal parts give equal ids;
 * ['a', 'bc'] and ['ab', 'c'] differ.
 */
export function derivedId(...parts: (string | number)[]): string {
  const hex = hashOf(parts);
  return uuidOf(`${hex.slice(0, 12)}8${hex.slice(13, 16)}${variantOf(hex)}${hex.slice(17)}`);
}

/** The id derived from these parts that has a time: a UUIDv7, so that it lies among the ids of that time. */
export function derivedIdAt(madeAt: number, ...parts: (string | number)[]): string {
  const hex = hashOf(parts);
  const time = madeAt.toString(16).padStart(12, '0');
  return uuidOf(`${time}7${hex.slice(13, 16)}${variantOf(hex)}${hex.slice(17)}`);
}

/**
 * The first 16 bytes of the SHA-256 of these parts, hexadecimal; ['a', 'bc'] and ['ab', 'c'] differ. As text, since a hash as bytes
 * takes Node twice as long: 3.0 and 1.7 us.
 */
export function hashOf(parts: (string | number)[]): string {
  let text = '';
  for (const part of parts) text += `${Buffer.byteLength(String(part))}:${part};`;
  return hash('sha256', text, 'hex').slice(0, 32);
}

/** The digit of RFC 9562's variant: two bits of the hash are kept. */
const variantOf = (hex: string) => '89ab'[Number.parseInt(hex[16]!, 16) & 3]!;

/** 16 bytes in hexadecimal, spelled as a UUID. */
export function uuidOf(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A hash of a request's content, of 16 bytes. It distinguishes a repeat from another request with the same id. */
export function contentHash(content: Uint8Array): Buffer {
  return sha256(content).subarray(0, 16);
}

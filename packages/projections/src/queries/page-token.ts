/**
 * Page tokens: where a page ended, in which generation, of which query. Opaque to clients, and believed only after a
 * strict check; they hold nothing that their bearer has not seen.
 */
import { createHash } from 'node:crypto';
import { type CaudalError, invalidField } from '@caudal/kernel/errors.ts';
import type { TypedKey } from '../stores/store.ts';
import type { KeyType } from '../types.ts';

export interface PageToken {
  generation: number;
  /** The last document's values of the keys that order the query (a search: its score), in their order. */
  keys: (TypedKey | number)[];
  /** The last document's id. */
  id: string;
}

/** How a token is bound to a query. */
export interface Shape {
  /** The projection, by name and version. */
  projection: string;
  /** All that makes the query another one, its limit aside. */
  query: unknown;
  /** The types of `keys`; `score` is a number. */
  types: (KeyType | 'score')[];
}

const longestToken = 8_192;

/** The token. */
export function encodeToken(token: PageToken, shape: Shape): string {
  const keys = token.keys.map((key) => (typeof key === 'bigint' ? key.toString() : key));
  const text = JSON.stringify([fingerprint(shape), token.generation, keys, token.id]);
  return Buffer.from(text).toString('base64url');
}

/** What a token says. INVALID_ARGUMENT if it is none, or belongs to another query. */
export function decodeToken(token: string, shape: Shape): PageToken {
  if (token.length > longestToken || !/^[A-Za-z0-9_-]+$/.test(token)) throw noToken();
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    throw noToken();
  }
  if (!Array.isArray(parsed) || parsed.length !== 4) throw noToken();
  const [print, generation, keys, id] = parsed as unknown[];
  if (typeof print !== 'string' || !Number.isSafeInteger(generation) || (generation as number) < 1) throw noToken();
  if (!Array.isArray(keys) || typeof id !== 'string' || id === '') throw noToken();
  if (print !== fingerprint(shape))
    throw invalidField('page_token', 'belongs to another query: the other fields must stay as they were');
  if (keys.length !== shape.types.length) throw noToken();
  return { generation: generation as number, keys: keys.map((key, place) => keyOf(shape.types[place]!, key)), id };
}

/** The token's generation is not kept any more. */
export function expiredToken(): CaudalError {
  const fix = 'has expired: start again without it';
  return invalidField('page_token', fix, 'PAGE_TOKEN_EXPIRED');
}

function noToken(): CaudalError {
  return invalidField('page_token', 'is none that this method has given: leave it out to start from the first page');
}

function keyOf(type: KeyType | 'score', value: unknown): TypedKey | number {
  if (type === 'score' && typeof value === 'number') return value;
  if (type === 'score') throw noToken();
  if (value === null) return null;
  if (type === 'keyword' && typeof value === 'string') return value;
  if (type === 'boolean' && typeof value === 'boolean') return value;
  if (type === 'long' && typeof value === 'string' && /^-?\d{1,19}$/.test(value)) {
    const long = BigInt(value);
    if (BigInt.asIntN(64, long) === long) return long;
  }
  if (type === 'timestamp' && typeof value === 'string') {
    const time = new Date(value);
    if (!Number.isNaN(time.getTime()) && time.toJSON() === value) return time;
  }
  throw noToken();
}

function fingerprint({ projection, query }: Shape): string {
  const text = JSON.stringify([projection, query], (_, value) => (typeof value === 'bigint' ? `${value}n` : value));
  return createHash('sha256').update(text).digest('base64url').slice(0, 16);
}

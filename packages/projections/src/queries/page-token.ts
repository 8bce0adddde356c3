/**
 * Page tokens: where a page ended, in which generation, of which query and order. They are sealed, accepted only after a strict check, and
 * hold only what their caller has received before. See docs/lists.md and docs/ids.md.
 */
import { hash } from 'node:crypto';
import { type CaudalError, invalidField } from '@caudal/kernel/errors.ts';
import { openToken, sealToken } from '@caudal/kernel/sealed-token.ts';
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
  /** All fields of the query except its limit: a token is valid for these values only. */
  query: unknown;
  /** The types of `keys`; `score` is a number. */
  types: (KeyType | 'score')[];
  /** The order as its caller asks for it, `available desc`. Absent if the list has only one. */
  order?: string | undefined;
}

const longestToken = 8_192;
const longestText = 1_000;

/** The token. */
export function encodeToken(token: PageToken, shape: Shape): string {
  const keys = token.keys.map((key) => (typeof key === 'bigint' ? key.toString() : key));
  const parts = [fingerprint(shape), token.generation, keys, token.id];
  return sealToken('page', JSON.stringify(shape.order === undefined ? parts : [...parts, shape.order]));
}

/**
 * The content of a token. INVALID_ARGUMENT if it was not made by this system, or belongs to another query or order. If the list had no
 * name for its order when the token was made, and has one now, the token has expired.
 */
export function decodeToken(token: string, shape: Shape): PageToken {
  const content = token.length > longestToken ? undefined : openToken('page', token);
  if (content === undefined) throw noToken();
  // What was sealed is checked, too: another version may have sealed it.
  const parsed: unknown = JSON.parse(content);
  if (!Array.isArray(parsed) || parsed.length < 4 || parsed.length > 5) throw noToken();
  const [print, generation, keys, id, order] = parsed as unknown[];
  if (typeof print !== 'string' || !Number.isSafeInteger(generation) || (generation as number) < 1) throw noToken();
  if (!Array.isArray(keys) || !isText(id) || id === '') throw noToken();
  checkQuery(print, order, shape);
  if (keys.length !== shape.types.length) throw noToken();
  return { generation: generation as number, keys: keys.map((key, place) => keyOf(shape.types[place]!, key)), id };
}

/** Throws if a token is of another order or query. */
function checkQuery(print: string, order: unknown, shape: Shape): void {
  const same = print === fingerprint(shape);
  if (order === undefined && same) return;
  if (order === undefined && shape.order !== undefined) throw expiredToken();
  if (order !== undefined && (typeof order !== 'string' || !/^[a-z_ ,]{1,100}$/.test(order))) throw noToken();
  if (order !== shape.order && order !== undefined && shape.order !== undefined)
    throw invalidToken(
      `is of a list in the order "${order}", not "${shape.order}": leave order_by as it was for the first page`,
    );
  if (!same) throw invalidToken('belongs to another query: leave the other fields as they were for the first page');
}

/** The error for a token that is too old: of a generation that is gone, or of an order that the list had before. */
export function expiredToken(): CaudalError {
  const fix = 'has expired: start again without it';
  return invalidField('page_token', fix, 'PAGE_TOKEN_EXPIRED');
}

const invalidToken = (fix: string) => invalidField('page_token', fix, 'INVALID_REQUEST');

function noToken(): CaudalError {
  return invalidToken(
    'was not issued by this method, or its key has been replaced: leave it out to start from the first page',
  );
}

function keyOf(type: KeyType | 'score', value: unknown): TypedKey | number {
  // JSON can write numbers that are beyond all.
  if (type === 'score' && Number.isFinite(value)) return value as number;
  if (type === 'score') throw noToken();
  if (value === null) return null;
  if (type === 'keyword' && isText(value)) return value;
  if (type === 'boolean' && typeof value === 'boolean') return value;
  if (type === 'long' && typeof value === 'string' && /^-?\d{1,19}$/.test(value)) {
    const long = BigInt(value);
    if (BigInt.asIntN(64, long) === long) return long;
  }
  if (type === 'timestamp' && typeof value === 'string') {
    const time = new Date(value);
    // JavaScript has dates that no store has: beyond the years 1 to 9999 there is none of Caudal's.
    if (/^(?!0000)\d/.test(value) && !Number.isNaN(time.getTime()) && time.toJSON() === value) return time;
  }
  throw noToken();
}

/**
 * Whether it is a text that every store can compare with: PostgreSQL has no U+0000, no store has half of a character, and
 * Elasticsearch compares up to 1,000 bytes.
 */
const isText = (value: unknown): value is string =>
  typeof value === 'string' && !value.includes('\0') && value.isWellFormed() && Buffer.byteLength(value) <= longestText;

function fingerprint({ projection, query }: Shape): string {
  const text = JSON.stringify([projection, query], (_, value) => (typeof value === 'bigint' ? `${value}n` : value));
  return hash('sha256', text, 'base64url').slice(0, 16);
}

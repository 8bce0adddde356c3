/**
 * The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07) is another way to give a command its
 * `request_id`. Any text of 1 to 255 characters is taken: a UUID as it is, every other text as an id that is derived from it.
 */
import { derivedId } from '@caudal/kernel/ids.ts';
import { hasCardNumber } from '../schema/card-numbers.ts';
import { uuid } from '../schema/rules.ts';
import { invalidRequest } from '../schema/validation.ts';

/** The draft's form is a text in quotes (RFC 8941). Most clients send the text without them. */
const quoted = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/;
const bare = /^[\x21\x23-\x7e]+$/;
const longest = 255;

/** Gives the request this key. Throws INVALID_ARGUMENT if it is none, or the request has another id already. */
export function useIdempotencyKey(request: { requestId: string }, header: string): void {
  const value = header.trim();
  const text = quoted.exec(value)?.[1]?.replace(/\\(.)/g, '$1') ?? (bare.test(value) ? value : undefined);
  if (!text || text.length > longest) {
    const description = `must be a text of 1 to ${longest} characters of ASCII, such as a UUID; one with blanks in double quotes`;
    throw invalidRequest([{ field: 'Idempotency-Key', description }], 'MALFORMED_REQUEST');
  }
  // The command is stored by a hash of it, and few numbers are cards: they could be tried.
  if (hasCardNumber(text)) {
    const description = 'must not contain a card number; use a random text, such as a UUID';
    throw invalidRequest([{ field: 'Idempotency-Key', description }], 'MALFORMED_REQUEST');
  }
  const id = uuid.test(text) ? text.toLowerCase() : derivedId('idempotency-key', text);
  if (request.requestId !== '' && request.requestId.toLowerCase() !== id) {
    const description = 'must be the same as in Idempotency-Key, or absent';
    throw invalidRequest([{ field: 'request_id', description }], 'MALFORMED_REQUEST');
  }
  request.requestId = id;
}

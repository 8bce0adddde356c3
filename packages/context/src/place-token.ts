/** Page tokens of lists that no view serves: sealed, and bound to the list and to the query, as those of views are (docs/ids.md). */
import { createHash } from 'node:crypto';
import { invalidField } from '@caudal/kernel/errors.ts';
import { openToken, sealToken } from '@caudal/kernel/sealed-token.ts';

export interface PlaceTokens {
  /** The token of a page that begins behind this place. */
  seal(place: string): string;
  /** The place in a token. Throws INVALID_ARGUMENT if it was not made for this list and query. */
  open(token: string): string;
}

/** `query`: all that chooses what the list has, as JSON; the size of a page is no part of it. */
export function placeTokens(list: string, query?: unknown): PlaceTokens {
  const print = createHash('sha256')
    .update(JSON.stringify([list, query ?? null]))
    .digest('base64url')
    .slice(0, 16);
  return {
    seal: (place) => sealToken('page', JSON.stringify([print, place])),
    open(token) {
      const content = openToken('page', token);
      const parsed: unknown = content === undefined ? undefined : JSON.parse(content);
      const [found, place] = Array.isArray(parsed) ? parsed : [];
      if (found !== print || typeof place !== 'string')
        throw invalidField(
          'page_token',
          'was not issued for this list and these conditions: leave it out to start from the first page',
        );
      return place;
    },
  };
}

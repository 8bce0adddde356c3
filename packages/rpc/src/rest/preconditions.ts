/**
 * The conditional headers of HTTP (RFC 9110, 13.1). Those that a method can't honour are refused: to ignore one would let its
 * sender believe in a check that does not take place.
 */
import type { DescMessage } from '@bufbuild/protobuf';
import type { FieldViolation } from '@caudal/kernel/errors.ts';
import { fieldNamed } from './transcode.ts';

/** How a method is served, as far as conditions depend on it. */
export interface Conditional {
  isRead: boolean;
  /** Whether its answers have an etag. */
  hasEtag: boolean;
  request: DescMessage;
}

const names = ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range'] as const;
const spelled = ['If-Match', 'If-None-Match', 'If-Modified-Since', 'If-Unmodified-Since', 'If-Range'];

/** What to change about these headers: nothing if the method honours all that are there. */
export function refusedConditions(
  headers: Record<string, string | string[] | undefined>,
  { isRead, hasEtag, request }: Conditional,
): FieldViolation[] {
  return names.flatMap((name, place) => {
    const field = spelled[place]!;
    if (headers[name] === undefined) return [];
    const honoured = isRead ? name === 'if-none-match' && hasEtag : name === 'if-match' && fieldNamed(request, 'etag');
    if (!honoured) return { field, description: `is not supported by this method (${request.name}): leave it out` };
    const isList = name === 'if-match' && /"\s*,/.test(String(headers[name]));
    return isList ? { field, description: 'must be one etag: a command is based on one version' } : [];
  });
}

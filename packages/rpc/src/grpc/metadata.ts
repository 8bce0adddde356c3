/** The headers of a gRPC call. */
import { Metadata } from '@grpc/grpc-js';
import { type HeaderReader, headerNames } from '../headers.ts';
import { RateLimited, rateHeaders } from '../server/rate-limits.ts';

/** Reads the texts of metadata; of several values the first. */
export const readerOf =
  (metadata: Metadata): HeaderReader =>
  (name) => {
    const [value] = metadata.get(name);
    return typeof value === 'string' ? value : undefined;
  };

/** The metadata of an answer. `error`: of a refusal. */
export function replyMetadata(requestId: string, error?: unknown): Metadata {
  const metadata = new Metadata();
  metadata.set(headerNames.requestId, requestId);
  if (error instanceof RateLimited)
    for (const [name, value] of Object.entries(rateHeaders(error.standing))) metadata.set(name, value);
  return metadata;
}

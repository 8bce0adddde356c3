/** The headers of a gRPC call. */
import type { Metadata } from '@grpc/grpc-js';
import type { HeaderReader } from '../headers.ts';

/** Reads the texts of metadata; of several values the first. */
export const readerOf =
  (metadata: Metadata): HeaderReader =>
  (name) => {
    const [value] = metadata.get(name);
    return typeof value === 'string' ? value : undefined;
  };

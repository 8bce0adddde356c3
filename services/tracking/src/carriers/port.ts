/** What a carrier's format and ways of calling are to the rest of tracking. docs/carriers.md; docs/adding/a-carrier.md. */
import type { Trace } from '../domain/trace.ts';

/** Names of HTTP headers in small letters. */
export type Headers = Readonly<Record<string, string | undefined>>;

/** A part of a body that is no trace. */
export interface Refusal {
  /** Which of the body's traces; absent if it is the body itself. */
  index?: number;
  /** Path in the body. */
  field: string;
  /** What is wrong, and how it should be. */
  problem: string;
}

export interface Parsed {
  traces: Trace[];
  refused: Refusal[];
}

/** How the carrier is asked for a parcel. */
export interface PollFormat {
  request(options: { base: string; trackingNumber: string; credential: string }): {
    url: string;
    headers: Record<string, string>;
  };
  /** Where the carrier sells tokens to clients, below the same URL. Absent: its key is the credential. */
  tokenPath?: string;
}

export interface CarrierAdapter {
  /** As in the path of its webhook and in its traces. */
  name: string;
  /** The traces in a webhook's body or in the answer to a poll. Never throws; what is not understood is refused. */
  parse(body: Uint8Array, now: Date): Parsed;
  /** Throws UNAUTHENTICATED, unless the carrier has sent this body, not long ago. */
  verify(call: { headers: Headers; body: Uint8Array }, secrets: readonly string[], now: Date): void;
  /** Absent: it can't be asked. */
  poll?: PollFormat;
}

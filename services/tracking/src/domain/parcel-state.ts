/** What is stored of a parcel. parcel.ts says how it comes about. */
import type { Place, Status } from './trace.ts';

/** A trace as the state has it: plain JSON, times in milliseconds since 1970. */
export interface Seen {
  /** traceId, hexadecimal. */
  id: string;
  /** When it happened, as far as that is believed. */
  at: number;
  /** When it happened as the carrier says, if that was in the future. */
  reportedAt?: number;
  zone?: string;
  status?: Status;
  subStatus?: string;
  detail?: string;
  place?: Place;
  eta?: number;
  photoUrl?: string;
  signedBy?: string;
}

/** What is kept to judge later traces. */
export interface ParcelFacts {
  /** The latest trace of each status. */
  latest: Partial<Record<Status, Seen>>;
  /** When the first trace of each status happened. */
  earliest: Partial<Record<Status, number>>;
  /** The latest END_VOIDED and RETURN_CANCELLED. */
  voidedAt?: number;
  returnCancelledAt?: number;
  /** The latest traces that say something of it. */
  eta?: Seen;
  place?: Seen;
  photo?: Seen;
  signature?: Seen;
  /** When the latest failed attempts happened, the newest first. */
  attempts: number[];
}

/** Plain JSON, so a store keeps it as it is. */
export interface ParcelState {
  /** Absent as long as no trace has a status. */
  status?: Status;
  subStatus?: string;
  /** When what the status follows from happened. */
  statusAt?: number;
  /** RETURN: it is on its way back, or is back. */
  leg: 'OUTWARD' | 'RETURN';
  /** Whether no more is expected of the carrier. */
  ended: boolean;
  deliveredAt?: number;
  returnedAt?: number;
  /** When it was first moved. */
  startedAt?: number;
  /** When the latest trace happened. */
  latestAt: number;
  /** What the carrier expects. */
  eta?: number;
  place?: Place;
  photoUrl?: string;
  signedBy?: string;
  /** The latest traces, the newest first. */
  recent: Seen[];
  facts: ParcelFacts;
}

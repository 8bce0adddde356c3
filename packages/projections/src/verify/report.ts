/** What verifying reports, and how it divides its work. */
import { createHash } from 'node:crypto';
import type { Finding } from './check-view.ts';

export interface VerifyProgress {
  pass: number;
  passes: number;
  domain: string;
  position: number;
  head: number;
}

export interface VerifyReport {
  /** `order-details.v1.2` */
  generation: string;
  /** Documents that were compared, tombstones and cursors among them. */
  documents: number;
  counts: Record<Finding['kind'], number>;
  /** The first 1,000. */
  findings: Finding[];
  /** The first 1,000 events that the projection can't handle; what lies behind them on their streams is expected nowhere. */
  failed: { stream: string; version: number; error: string }[];
  /** On how many streams there are such events. */
  failedCount: number;
}

/** Whether all is as the log says. */
export function isRight({ counts }: VerifyReport): boolean {
  return Object.values(counts).every((count) => count === 0);
}

/** Which of the shares an id falls into. */
export function shareOf(id: string, shares: number): number {
  return createHash('md5').update(id).digest().readUInt32BE(0) % shares;
}

/** The report of verifying, and how views are divided between passes. */
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
  /** The first 1,000 events that the projection can't handle. Events behind them on their streams count as absent. */
  failed: { stream: string; version: number; error: string }[];
  /** How many streams have such events. */
  failedCount: number;
}

/** Whether all views are what the log says. */
export function isRight({ counts }: VerifyReport): boolean {
  return Object.values(counts).every((count) => count === 0);
}

/** The share that an id belongs to: 0 to `shares` - 1. */
export function shareOf(id: string, shares: number): number {
  return createHash('md5').update(id).digest().readUInt32BE(0) % shares;
}

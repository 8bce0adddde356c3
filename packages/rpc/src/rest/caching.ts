/** What caches may do with the answers of a method (RFC 9111, RFC 5861), as its contract says: docs/caching.md, HTTP. */
import { hash } from 'node:crypto';
import type { MethodContract } from '@caudal/contract/descriptors.ts';

/** Whether caches may use an answer without asking. */
export const isKept = ({ reads }: MethodContract): boolean => reads.maxAgeSeconds > 0;

/**
 * Whether an answer may be confirmed with 304 instead of being sent. Not one with personal fields: the etag is that of the resource, and
 * an erasure, or the key's store being away, changes these texts without it.
 */
export const isConfirmed = ({ audit }: MethodContract): boolean => !audit.personal;

/**
 * The header Cache-Control of a read's answer. `isChosen`: the caller has said what the answer must include; then a cache must not keep
 * it, and without the header it would give an older one to those who ask in vain.
 */
export function cacheControl(contract: MethodContract, isChosen: boolean): string {
  const { reads } = contract;
  if (!isConfirmed(contract)) return 'private, no-store';
  if (reads.maxAgeSeconds === 0 || isChosen) return 'private, no-cache';
  const parts = [reads.shared ? 'public' : 'private', `max-age=${reads.maxAgeSeconds}`];
  if (reads.staleWhileRevalidateSeconds > 0) parts.push(`stale-while-revalidate=${reads.staleWhileRevalidateSeconds}`);
  if (reads.staleIfErrorSeconds > 0) parts.push(`stale-if-error=${reads.staleIfErrorSeconds}`);
  return parts.join(', ');
}

/** The headers of requests that the answer depends on, beside Accept-Encoding and Origin. */
export function variedBy(contract: MethodContract): string[] {
  const who = contract.access.authentication === 'NONE' ? [] : ['authorization'];
  return isKept(contract) ? [...who, 'consistency-token', 'read-strength'] : ['authorization'];
}

/** The etag of an answer that has no field for it, so that a cache need not get again what has not changed. */
export function validatorOf(contract: MethodContract, body: string): string | undefined {
  return isKept(contract) ? hash('sha256', body, 'base64url').slice(0, 22) : undefined;
}

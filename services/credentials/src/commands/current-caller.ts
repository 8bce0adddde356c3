/**
 * Who gets the secret of an API key must not be revoked by the log itself. Processes accept a token for up to a minute after its
 * revocation, and a secret that is made in this minute would count until the key's end.
 */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { getEntry } from '@caudal/kernel/expiring-map.ts';
import { isRevoked, usualLeewayMs } from '@caudal/rpc/server/credentials.ts';
import { unauthenticated } from '@caudal/rpc/server/trust-root.ts';
import { revocationDecider, revocationsId } from '../domain/revocations.ts';

/**
 * Rejects with UNAUTHENTICATED if the caller's token is revoked (strong read). Call what it resolves to with the time of the
 * decision: a secret of within 5 s of a revocation ends with it, and a decision that comes later is refused with UNAVAILABLE.
 */
export async function assertCurrent(
  aggregates: Pick<Aggregates, 'load'>,
  caller: Caller,
  now: Date,
): Promise<(decidedAt: Date) => void> {
  const { state } = await aggregates.load(revocationDecider, revocationsId);
  const { kind, subject, tokenSubject = subject, credential: tokenId = '', issuedAt } = caller;
  // Services are not revoked: their keys are withdrawn.
  if (kind === 'user') {
    const tokens = new Set(getEntry(state.tokens, tokenId, now) ? [tokenId] : []);
    const subjects = new Map<string, number>();
    for (const each of [subject, tokenSubject]) {
      const revoked = getEntry(state.subjects, each, now);
      if (revoked) subjects.set(each, (revoked.issuedUntil ?? revoked.at).getTime());
    }
    if (isRevoked({ tokens, subjects }, { subjects: [...subjects.keys()], tokenId, issuedAt }, usualLeewayMs, now))
      throw unauthenticated('TOKEN_REVOKED', 'The token was revoked, so its caller gets no secret of an API key.');
  }
  return (decidedAt) => {
    if (decidedAt.getTime() - now.getTime() >= usualLeewayMs) throw unavailable('credentials');
  };
}

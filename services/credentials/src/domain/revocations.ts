/**
 * What was revoked: one stream, whose state is what has not ended. It is small and changes rarely, and every process that serves
 * calls keeps all of it.
 */
import type { Decider, DecisionContext } from '@caudal/aggregates/types.ts';
import { type EventOf, revocation } from '@caudal/contract/entities.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { type ExpiringMap, emptyExpiringMap, entriesOf, getEntry, setEntry } from '@caudal/kernel/expiring-map.ts';

export type RevocationEvent = EventOf<typeof revocation>;

/** The id of the one stream. */
export const revocationsId = 'all';

/** Without the token or the subject, which is its key. */
export interface Revoked {
  at: Date;
  /** Of a subject: what was issued until then. */
  issuedUntil: Date | undefined;
  endsAt: Date;
  reason: string;
}

export interface RevocationsState {
  /** By `jti`. */
  tokens: ExpiringMap<Revoked>;
  subjects: ExpiringMap<Revoked>;
}

const dayMs = 24 * 3_600_000;
/** Longer than a token may be valid by any setting (CAUDAL_TOKEN_MAX_LIFETIME, 90 days at most). */
const tokenDays = 92;
/** Longer than an API key may be valid. */
const subjectDays = 400;
/** All processes keep the list, and it has to fit into one answer. The last tenth is for subjects: each stands for many tokens. */
export const maxRevocations = 10_000;
export const maxTokens = 9_000;
/** Of them, customers who were erased. */
export const maxErased = 5_000;
const erasedReason = 'The customer was erased.';

export const revocationDecider: Decider<RevocationsState, RevocationEvent> = {
  entity: revocation,
  initial: { tokens: emptyExpiringMap(), subjects: emptyExpiringMap() },
  evolve(state, event, at) {
    switch (event.$case) {
      case 'tokenRevoked': {
        const { tokenId, endTime = at, reason } = event.value;
        const revoked = { at, issuedUntil: undefined, endsAt: endTime, reason };
        return { ...state, tokens: setEntry(state.tokens, tokenId, revoked, endTime, at) };
      }
      case 'subjectRevoked': {
        const { subject, issuedUntil = at, endTime = at, reason } = event.value;
        const revoked = { at, issuedUntil, endsAt: endTime, reason };
        return { ...state, subjects: setEntry(state.subjects, subject, revoked, endTime, at) };
      }
    }
  },
  snapshot: { every: 500, schemaVersion: 1 },
};

/** Revokes a token until it has expired. A repeat changes nothing. Refused: RESOURCE_EXHAUSTED REVOCATIONS_FULL. */
export function revokeToken(
  state: RevocationsState,
  { now }: Pick<DecisionContext, 'now'>,
  { tokenId, expireTime, reason }: { tokenId: string; expireTime: Date | undefined; reason: string },
): RevocationEvent[] {
  const known = getEntry(state.tokens, tokenId, now);
  const latest = new Date(now.getTime() + tokenDays * dayMs);
  const endTime = expireTime && expireTime < latest ? afterLeeway(expireTime) : latest;
  // What has expired needs no revocation, and what is revoked for long enough no second one.
  if (endTime <= now || (known && known.endsAt >= endTime)) return [];
  if (!known) mustHaveRoom(state, now, maxTokens);
  return [{ $case: 'tokenRevoked', value: { tokenId, endTime, reason } }];
}

/** Processes accept a token for some seconds after its exp, since clocks differ. */
const afterLeeway = (expireTime: Date) => new Date(expireTime.getTime() + 60_000);

/** Revokes what was issued to the subject until now. Refused: RESOURCE_EXHAUSTED REVOCATIONS_FULL. */
export function revokeSubject(
  state: RevocationsState,
  { now }: Pick<DecisionContext, 'now'>,
  { subject, reason }: { subject: string; reason: string },
): RevocationEvent[] {
  if (!getEntry(state.subjects, subject, now)) mustHaveRoom(state, now, maxRevocations);
  const endTime = new Date(now.getTime() + subjectDays * dayMs);
  return [{ $case: 'subjectRevoked', value: { subject, issuedUntil: now, endTime, reason } }];
}

/**
 * Revokes what was issued to a customer who is erased, for as long as a token lives. If erased ones have their part of the list, or only
 * its last tenth is left, changes nothing: it must keep room for what has leaked.
 */
export function revokeErased(
  state: RevocationsState,
  { now }: Pick<DecisionContext, 'now'>,
  { subject, lifetimeMs }: { subject: string; lifetimeMs: number },
): RevocationEvent[] {
  const known = getEntry(state.subjects, subject, now);
  const size = state.tokens.size + state.subjects.size;
  if (!known && size >= maxTokens && revocationsAt(state, now).length >= maxTokens) return [];
  if (!known && state.subjects.size >= maxErased) {
    const erased = revocationsAt(state, now).filter(({ reason }) => reason === erasedReason);
    if (erased.length >= maxErased) return [];
  }
  const endTime = afterLeeway(new Date(now.getTime() + lifetimeMs));
  const [latest, reason] = known && known.endsAt > endTime ? [known.endsAt, known.reason] : [endTime, erasedReason];
  return [{ $case: 'subjectRevoked', value: { subject, issuedUntil: now, endTime: latest, reason } }];
}

/** A revocation with what it is of. */
export interface RevocationEntry extends Revoked {
  tokenId: string;
  subject: string;
}

/** What counts at this time, subjects first, each kind in the order of its ids. */
export function revocationsAt({ tokens, subjects }: RevocationsState, now: Date): RevocationEntry[] {
  const live = (map: ExpiringMap<Revoked>) =>
    [...entriesOf(map)].filter(([, , until]) => until > now.getTime()).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    ...live(subjects).map(([subject, revoked]) => ({ ...revoked, subject, tokenId: '' })),
    ...live(tokens).map(([tokenId, revoked]) => ({ ...revoked, subject: '', tokenId })),
  ];
}

function mustHaveRoom(state: RevocationsState, now: Date, most: number): void {
  // The maps may hold some that have ended, so they are counted only where it matters.
  if (state.tokens.size + state.subjects.size < most) return;
  if (revocationsAt(state, now).length < most) return;
  throw new CaudalError(
    'RESOURCE_EXHAUSTED',
    'REVOCATIONS_FULL',
    `${most} revocations have not ended: revoke the subject instead of its tokens, or withdraw the key that signs them.`,
  );
}

import { given } from '@caudal/testing/given.ts';
import { describe, expect, test } from '@jest/globals';
import {
  maxErased,
  maxRevocations,
  maxTokens,
  type RevocationEvent,
  type RevocationsState,
  revocationDecider,
  revocationsAt,
  revokeErased,
  revokeSubject,
  revokeToken,
} from './revocations.ts';

const now = new Date('2026-01-01T00:00:00Z');
const dayMs = 24 * 3_600_000;
const inDays = (days: number) => new Date(now.getTime() + days * dayMs);
const after = (...events: RevocationEvent[]) => given(revocationDecider, events, now);
const token = (tokenId: string, endTime: Date): RevocationEvent => ({
  $case: 'tokenRevoked',
  value: { tokenId, endTime, reason: 'stolen' },
});
const subject = (name: string, issuedUntil = now): RevocationEvent => ({
  $case: 'subjectRevoked',
  value: { subject: name, issuedUntil, endTime: new Date(issuedUntil.getTime() + 400 * dayMs), reason: 'left' },
});
const revoking = (expireTime?: Date) => (state: RevocationsState, context: { now: Date }) =>
  revokeToken(state, context, { tokenId: 't', expireTime, reason: 'stolen' });
const minuteLater = (time: Date) => new Date(time.getTime() + 60_000);

describe('the list of revocations', () => {
  test('has a token until a while after its exp, 92 days at most', () => {
    after()
      .when(revoking(inDays(1)))
      .gives([token('t', minuteLater(inDays(1)))]);
    for (const far of [undefined, inDays(1_000)])
      after()
        .when(revoking(far))
        .gives([token('t', inDays(92))]);
    after()
      .when(revoking(inDays(-1)))
      .gives([]);
    after(token('t', inDays(92)))
      .when(revoking(inDays(1)))
      .gives([]);
    after(token('t', inDays(1)))
      .when(revoking(inDays(2)))
      .gives([token('t', minuteLater(inDays(2)))]);
  });

  test('has a subject with the time until which things are revoked, which a later one moves', () => {
    const revokingSubject = (state: RevocationsState, context: { now: Date }) =>
      revokeSubject(state, context, { subject: 'ada', reason: 'left' });
    after()
      .when(revokingSubject)
      .gives([subject('ada')]);
    after(subject('ada'))
      .when(revokingSubject, inDays(1))
      .gives([subject('ada', inDays(1))]);
    const { state } = after(subject('ada'), subject('ada', inDays(1)));
    expect(revocationsAt(state, now)).toMatchObject([{ subject: 'ada', issuedUntil: inDays(1) }]);
  });

  test('is in order, and has only what has not ended', () => {
    const { state } = after(token('b', inDays(1)), token('a', inDays(3)), subject('z'), subject('c'));
    const idsAt = (time: Date) => revocationsAt(state, time).map(({ subject: name, tokenId }) => name || tokenId);
    expect(idsAt(now)).toEqual(['c', 'z', 'a', 'b']);
    expect(idsAt(inDays(2))).toEqual(['c', 'z', 'a']);
    expect(idsAt(inDays(401))).toEqual([]);
  });

  test('is bounded; its last tenth is for subjects, and what has ended makes room', () => {
    const full = after(...Array.from({ length: maxTokens }, (_, number) => token(`t${number}`, inDays(1))));
    full.when(revoking(inDays(1))).refuses('RESOURCE_EXHAUSTED', 'REVOCATIONS_FULL');
    full
      .when((state, context) => revokeSubject(state, context, { subject: 'ada', reason: 'left' }))
      .gives([subject('ada')]);
    full.when(revoking(inDays(5)), inDays(2)).gives([token('t', minuteLater(inDays(5)))]);
    const subjects = Array.from({ length: maxRevocations }, (_, number) => subject(`s${number}`));
    after(...subjects)
      .when((state, context) => revokeSubject(state, context, { subject: 'ada', reason: 'left' }))
      .refuses('RESOURCE_EXHAUSTED', 'REVOCATIONS_FULL');
    // One that is there may be moved.
    after(...subjects)
      .when((state, context) => revokeSubject(state, context, { subject: 's1', reason: 'left' }))
      .gives([subject('s1')]);
  });
});

describe('a customer who is erased', () => {
  const erasing = (state: RevocationsState, context: { now: Date }) =>
    revokeErased(state, context, { subject: 'ada', lifetimeMs: dayMs });
  const erased = (name: string, endTime: Date): RevocationEvent => ({
    $case: 'subjectRevoked',
    value: { subject: name, issuedUntil: now, endTime, reason: 'The customer was erased.' },
  });

  test('is on the list for as long as a token lives', () => {
    after()
      .when(erasing)
      .gives([erased('ada', minuteLater(inDays(1)))]);
  });

  test('whose subject was revoked for longer stays so', () => {
    after(subject('ada'))
      .when(erasing)
      .gives([
        { $case: 'subjectRevoked', value: { subject: 'ada', issuedUntil: now, endTime: inDays(400), reason: 'left' } },
      ]);
  });

  test('takes no room of others: erased ones have half of the list', () => {
    const many = Array.from({ length: maxErased }, (_, n) => erased(`c-${n}`, inDays(1)));
    after(...many)
      .when(erasing)
      .gives([]);
    after(...many)
      .when((state, context) => revokeSubject(state, context, { subject: 'ada', reason: 'left' }))
      .gives([subject('ada')]);
  });

  test('leaves the last tenth of the list to subjects that have leaked', () => {
    const tokens = Array.from({ length: maxTokens }, (_, n) => token(`t-${n}`, inDays(1)));
    after(...tokens)
      .when(erasing)
      .gives([]);
    after(...tokens)
      .when((state, context) => revokeSubject(state, context, { subject: 'ada', reason: 'left' }))
      .gives([subject('ada')]);
  });
});

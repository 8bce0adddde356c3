/** Tells processes of API keys and revocations: caudal.credentials.v1.CredentialCheckService. Read from the log itself. */
import { createHash } from 'node:crypto';
import type { Aggregates } from '@caudal/aggregates/types.ts';
import {
  CredentialCheckServiceService,
  type ListRevokedResponse,
} from '@caudal/contract/gen/caudal/credentials/v1/checks.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { service } from '@caudal/rpc/types.ts';
import { apiKeyDecider } from '../domain/api-key.ts';
import { isErased } from '../domain/owner-erasure.ts';
import { type RevocationsState, revocationDecider, revocationsAt, revocationsId } from '../domain/revocations.ts';

export interface CheckDependencies {
  aggregates: Pick<Aggregates, 'load'>;
  clock: Clock;
}

export function credentialCheckService({ aggregates, clock }: CheckDependencies) {
  /** Of the last state: many processes ask for the same one. */
  let last: { state: RevocationsState; answer: ListRevokedResponse } | undefined;

  return service(CredentialCheckServiceService, {
    async checkApiKey({ apiKeyId }) {
      const { state } = await aggregates.load(apiKeyDecider, apiKeyId);
      const { owner, creator, permissions, expireTime } = state;
      // Its keys are not named anywhere, so the erasure of a customer can't revoke them one by one.
      const secrets = state.secrets.length > 0 && (await isErased(aggregates, owner)) ? [] : state.secrets;
      const expireMillis = BigInt(expireTime?.getTime() ?? 0);
      return {
        found: state.apiKeyId !== '',
        owner,
        creator,
        permissions: [...permissions],
        secrets: secrets.map(({ hash, maker, madeAt, endsAt }) => ({
          hash: Buffer.from(hash),
          maker,
          madeMillis: BigInt(madeAt.getTime()),
          endMillis: endsAt ? BigInt(endsAt.getTime()) : expireMillis,
        })),
        expireMillis,
      };
    },
    async listRevoked({ etag }) {
      const { state } = await aggregates.load(revocationDecider, revocationsId);
      // Entries that have ended since stay in the answer, which changes nothing: what they revoke has ended too.
      if (last?.state !== state) last = { state, answer: listOf(state, clock()) };
      const { answer } = last;
      return etag === answer.etag ? { etag, unchanged: true, tokenIds: [], subjects: [] } : answer;
    },
  });
}

function listOf(state: RevocationsState, now: Date): ListRevokedResponse {
  const entries = revocationsAt(state, now);
  const tokenIds = entries.flatMap(({ tokenId }) => (tokenId ? [tokenId] : []));
  const subjects = entries.flatMap(({ subject, issuedUntil, at }) =>
    subject ? [{ subject, untilMillis: BigInt((issuedUntil ?? at).getTime()) }] : [],
  );
  // By the content: after a fail-over another list may have the version that this one had.
  const content = JSON.stringify([
    tokenIds,
    subjects.map(({ subject, untilMillis }) => [subject, String(untilMillis)]),
  ]);
  return {
    etag: createHash('sha256').update(content).digest('base64url'),
    unchanged: false,
    tokenIds,
    subjects,
  };
}

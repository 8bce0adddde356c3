/** API keys and revocations as messages of the contract. */
import { commandEtag } from '@caudal/context/etag.ts';
import type { ApiKey, Revocation } from '@caudal/contract/gen/caudal/credentials/v1/credentials.ts';
import type { ApiKeyState } from './domain/api-key.ts';
import type { RevocationEntry } from './domain/revocations.ts';

/** The key without its secret. */
export function apiKeyMessage(state: ApiKeyState, version: number): ApiKey {
  const { apiKeyId, owner, creator, displayName, permissions, expireTime, revokeTime, createTime, updateTime } = state;
  return {
    apiKeyId,
    owner,
    creator,
    displayName,
    permissions: [...permissions],
    secret: '',
    expireTime,
    formerSecretEndTime: state.secrets[1]?.endsAt,
    revokeTime,
    createTime,
    updateTime,
    etag: commandEtag(version),
  };
}

export function revocationMessage({ tokenId, subject, at, endsAt, reason }: RevocationEntry): Revocation {
  return { tokenId, subject, revokeTime: at, endTime: endsAt, reason };
}

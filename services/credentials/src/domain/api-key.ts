/**
 * An API key: what a merchant's server shows instead of a token. The stream has the hashes of its secrets; a secret itself is
 * nowhere but in the answer that has made it.
 *
 *   created ──> rotated, any number of times ──> revoked
 */
import type { Decider, DecisionContext } from '@caudal/aggregates/types.ts';
import { apiKey, type EventOf } from '@caudal/contract/entities.ts';
import type { ApiKeyCreated } from '@caudal/contract/gen/caudal/credentials/v1/events.ts';
import { CaudalError, invalidField, notFound, refused } from '@caudal/kernel/errors.ts';

export type ApiKeyEvent = EventOf<typeof apiKey>;

/** A secret by its hash. */
export interface Secret {
  hash: Uint8Array;
  /** The subject that got it: the creator of the key, or who has rotated it. */
  maker: string;
  madeAt: Date;
  /** Undefined for the present one: it ends with the key. */
  endsAt: Date | undefined;
}

export interface ApiKeyState {
  /** Empty until the key is made. */
  apiKeyId: string;
  owner: string;
  creator: string;
  displayName: string;
  permissions: readonly string[];
  /** The present one first, then the one before. Empty once it is revoked. */
  secrets: readonly Secret[];
  expireTime: Date | undefined;
  revokeTime: Date | undefined;
  createTime: Date | undefined;
  updateTime: Date | undefined;
}

const dayMs = 24 * 3_600_000;
const usualDays = 90;
const mostDays = 366;

export const apiKeyDecider: Decider<ApiKeyState, ApiKeyEvent> = {
  entity: apiKey,
  initial: {
    apiKeyId: '',
    owner: '',
    creator: '',
    displayName: '',
    permissions: [],
    secrets: [],
    expireTime: undefined,
    revokeTime: undefined,
    createTime: undefined,
    updateTime: undefined,
  },
  owner: ({ owner }) => owner || undefined,
  evolve(state, event, at) {
    switch (event.$case) {
      case 'created': {
        const { secretHash, ...made } = event.value;
        const secrets = [{ hash: secretHash, maker: made.creator, madeAt: at, endsAt: undefined }];
        return { ...state, ...made, secrets, createTime: at, updateTime: at };
      }
      case 'rotated': {
        const { secretHash, formerEndTime, expireTime, rotator } = event.value;
        const [present] = state.secrets;
        // Without overlap the others have ended.
        const overlaps = formerEndTime !== undefined && formerEndTime > at;
        const former = present && overlaps ? [{ ...present, endsAt: formerEndTime }] : [];
        const secrets = [{ hash: secretHash, maker: rotator, madeAt: at, endsAt: undefined }, ...former];
        return { ...state, secrets, expireTime, updateTime: at };
      }
      case 'revoked':
        return { ...state, secrets: [], revokeTime: at, updateTime: at };
    }
  },
};

/** Makes the key. Refused: ALREADY_EXISTS; INVALID_ARGUMENT (an end out of range). */
export function createKey(
  state: ApiKeyState,
  { now }: Pick<DecisionContext, 'now'>,
  wanted: Omit<ApiKeyCreated, 'expireTime'> & { expireTime: Date | undefined },
): ApiKeyEvent[] {
  if (state.apiKeyId !== '')
    throw new CaudalError('ALREADY_EXISTS', 'API_KEY_EXISTS', `There is an API key "${wanted.apiKeyId}" already.`);
  const expireTime = endOf(wanted.expireTime ?? new Date(now.getTime() + usualDays * dayMs), now);
  return [{ $case: 'created', value: { ...wanted, expireTime } }];
}

/**
 * Replaces the secret. Refused: NOT_FOUND; FAILED_PRECONDITION API_KEY_REVOKED, API_KEY_EXPIRED, API_KEY_ROTATING; INVALID_ARGUMENT
 * (an end out of range).
 */
export function rotateKey(
  state: ApiKeyState,
  { now }: Pick<DecisionContext, 'now'>,
  {
    apiKeyId,
    secretHash,
    overlapMs,
    expireTime,
    rotator,
  }: {
    apiKeyId: string;
    secretHash: Buffer;
    overlapMs: number;
    expireTime: Date | undefined;
    rotator: string;
  },
): ApiKeyEvent[] {
  mustExist(state, apiKeyId);
  if (state.revokeTime) throw refused('API_KEY_REVOKED', 'The API key was revoked: make another one.');
  const until = expireTime ? endOf(expireTime, now) : state.expireTime;
  if (until && until <= now) throw refused('API_KEY_EXPIRED', 'The API key has ended: give it another expire_time.');
  const former = state.secrets[1]?.endsAt;
  // Otherwise a repeat without a request id would end the secret that the servers still use.
  if (overlapMs > 0 && former && former > now)
    throw refused(
      'API_KEY_ROTATING',
      `The secret before the last rotation counts until ${former.toISOString()}: rotate after that, or with an overlap of 0s, which ends all other secrets.`,
    );
  const formerEndTime = new Date(now.getTime() + overlapMs);
  return [{ $case: 'rotated', value: { secretHash, formerEndTime, expireTime: until, rotator } }];
}

/** Ends the key. A repeat changes nothing. Refused: NOT_FOUND. */
export function revokeKey(state: ApiKeyState, apiKeyId: string, reason: string): ApiKeyEvent[] {
  mustExist(state, apiKeyId);
  return state.revokeTime ? [] : [{ $case: 'revoked', value: { reason } }];
}

function mustExist(state: ApiKeyState, apiKeyId: string): void {
  if (state.apiKeyId === '') throw notFound('api_key', apiKeyId);
}

function endOf(wanted: Date, now: Date): Date {
  const days = (wanted.getTime() - now.getTime()) / dayMs;
  if (days <= 0 || days > mostDays) throw invalidField('expire_time', `must lie ahead, by ${mostDays} days at most`);
  return wanted;
}

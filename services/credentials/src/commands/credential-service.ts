/** Changes API keys and revocations: caudal.credentials.v1.CredentialService. */
import type { Aggregates, Decider, PartState } from '@caudal/aggregates/types.ts';
import { executeFor } from '@caudal/context/execute-for.ts';
import {
  ApiKey,
  CredentialServiceService,
  Revocation,
} from '@caudal/contract/gen/caudal/credentials/v1/credentials.ts';
import { CaudalError, refused } from '@caudal/kernel/errors.ts';
import { derivedId, type IdSource } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { formatApiKey, hashOfSecret, newSecret } from '@caudal/rpc/server/api-keys.ts';
import { type Call, service } from '@caudal/rpc/types.ts';
import {
  type ApiKeyEvent,
  type ApiKeyState,
  apiKeyDecider,
  createKey,
  revokeKey,
  rotateKey,
} from '../domain/api-key.ts';
import { countKey, type KeyOwnerEvent, type KeyOwnerState, keyOwnerDecider, uncountKey } from '../domain/key-owner.ts';
import { isErased } from '../domain/owner-erasure.ts';
import {
  type RevocationEvent,
  type RevocationsState,
  revocationDecider,
  revocationsAt,
  revocationsId,
  revokeSubject,
  revokeToken,
} from '../domain/revocations.ts';
import { checkPermissions, checkScope, refuseApiKeys } from '../domain/scope.ts';
import { apiKeyMessage, revocationMessage } from '../messages.ts';
import { assertCurrent } from './current-caller.ts';

export interface CredentialDependencies {
  aggregates: Aggregates;
  ids: IdSource;
  clock: Clock;
}

const usualOverlapSeconds = 24 * 3600;

type State = ApiKeyState | KeyOwnerState;
type Event = ApiKeyEvent | KeyOwnerEvent;
/** Of a key, or of its owner: a unit has streams of both. */
type AnyDecider = Decider<State, Event>;

/** A key and whose it is; empty if there is no such key. */
interface OwnedKey {
  apiKeyId: string;
  owner: string;
}

/** What the key's events mean for the number of its owner's keys. */
function countOf(events: ApiKeyEvent[], apiKeyId: string, of: PartState<State, unknown>): KeyOwnerEvent[] {
  const owner = of.state as KeyOwnerState;
  return events.flatMap((event) =>
    event.$case === 'revoked' ? uncountKey(owner, apiKeyId) : countKey(owner, of, apiKeyId, event.value.expireTime),
  );
}

type Decide = (state: ApiKeyState, context: { now: Date }) => ApiKeyEvent[];

export function credentialService({ aggregates, ids, clock }: CredentialDependencies) {
  return service(CredentialServiceService, {
    async createApiKey({ owner, displayName, permissions: wanted, expireTime }, call) {
      refuseApiKeys(call.caller);
      const permissions = [...new Set(wanted)].sort();
      checkPermissions(permissions);
      checkScope(call.caller, owner, permissions);
      if (await isErased(aggregates, owner))
        throw refused(
          'OWNER_ERASED',
          'The customer of this id was erased, so an API key of this owner would not count.',
        );
      const assertSoon = await assertCurrent(aggregates, call.caller, clock());
      const apiKeyId = call.commandId ? derivedId(call.commandId.key, 'api key') : ids();
      return withSecret(apiKeyId, (secretHash) =>
        changeCounted({ apiKeyId, owner }, call, (state, context) => {
          assertSoon(context.now);
          return createKey(state, context, {
            ...{ apiKeyId, owner, displayName, permissions, secretHash, expireTime },
            creator: call.caller.subject,
          });
        }),
      );
    },
    async rotateApiKey({ apiKeyId, overlap, expireTime }, call) {
      refuseApiKeys(call.caller);
      const overlapMs = Number(overlap?.seconds ?? usualOverlapSeconds) * 1000;
      const assertSoon = await assertCurrent(aggregates, call.caller, clock());
      const { owner } = (await aggregates.load(apiKeyDecider, apiKeyId)).state;
      return withSecret(apiKeyId, (secretHash) =>
        changeOwn({ apiKeyId, owner }, call, (state, context) => {
          assertSoon(context.now);
          // The answer has the whole key, so that who gets it can do what the key can.
          checkScope(call.caller, state.owner, state.permissions);
          const rotator = call.caller.subject;
          return rotateKey(state, context, { apiKeyId, secretHash, overlapMs, expireTime, rotator });
        }),
      );
    },
    async revokeApiKey({ apiKeyId, reason }, call) {
      refuseApiKeys(call.caller);
      const { owner } = (await aggregates.load(apiKeyDecider, apiKeyId)).state;
      return changeOwn({ apiKeyId, owner }, call, (state) => revokeKey(state, apiKeyId, reason));
    },
    async revokeToken({ tokenId, expireTime, reason }, call) {
      refuseApiKeys(call.caller);
      return revoke(call, (state, context) => revokeToken(state, context, { tokenId, expireTime, reason }), {
        tokenId,
      });
    },
    async revokeSubject({ subject, reason }, call) {
      refuseApiKeys(call.caller);
      return revoke(call, (state, context) => revokeSubject(state, context, { subject, reason }), { subject });
    },
  });

  /**
   * Adds the key with its new secret to the answer, if the command has stored its hash. A repeat of a command has not: the secret
   * is nowhere, and an answer without one would look like success.
   */
  async function withSecret(apiKeyId: string, run: (secretHash: Buffer) => Promise<ApiKey>): Promise<ApiKey> {
    const secret = newSecret();
    const secretHash = hashOfSecret(secret);
    const answer = await run(secretHash);
    const { state } = await aggregates.load(apiKeyDecider, apiKeyId);
    if (state.secrets.some(({ hash }) => secretHash.equals(hash)))
      return { ...answer, secret: formatApiKey(apiKeyId, secret) };
    throw new CaudalError(
      'ALREADY_EXISTS',
      'SECRET_NOT_REPEATED',
      `An earlier call with this request_id has changed the API key "${apiKeyId}", and only its answer had the secret. If that was lost, rotate the key without overlap, under a new request_id.`,
      { metadata: { api_key_id: apiKeyId } },
    );
  }

  /** A change of the caller's own key, or of any key with that permission. */
  function changeOwn(of: OwnedKey, call: Call, decide: Decide): Promise<ApiKey> {
    return changeCounted(of, call, decide, call.authorize);
  }

  /** A change of a key, and of its owner's number of keys, in one append. The owner of a key never changes. */
  async function changeCounted(
    { apiKeyId, owner }: OwnedKey,
    call: Call,
    decide: Decide,
    authorize?: Call['authorize'],
  ): Promise<ApiKey> {
    const { commandId, forwardable, origin, signal } = call;
    const key = { decider: apiKeyDecider as unknown as AnyDecider, id: apiKeyId, authorize };
    const { reply, streams } = await aggregates.executeUnit<State, Event, ApiKey, unknown>({
      // There is no such key, which its decision says.
      parts: owner === '' ? [key] : [key, { decider: keyOwnerDecider as unknown as AnyDecider, id: owner }],
      decide([changed, counted]) {
        const events = decide(changed!.state as ApiKeyState, changed!);
        return counted ? [events, countOf(events, apiKeyId, counted)] : [events];
      },
      reply: ([changed]) => apiKeyMessage(changed!.state as ApiKeyState, changed!.version),
      replyCodec: ApiKey,
      ...{ commandId, forwardable, origin, signal },
    });
    call.wrote(streams[0]!.stream, streams[0]!.version);
    return reply;
  }

  function revoke(
    call: Call,
    decide: (state: RevocationsState, context: { now: Date }) => RevocationEvent[],
    of: { tokenId?: string; subject?: string },
  ): Promise<Revocation> {
    let now = new Date(0);
    return executeFor(call, aggregates, {
      decider: revocationDecider,
      id: revocationsId,
      decide(state, context) {
        now = context.now;
        return decide(state, context);
      },
      reply: ({ state }) => {
        const found = revocationsAt(state, now).find(
          ({ tokenId, subject }) => (of.tokenId ?? '') === tokenId && (of.subject ?? '') === subject,
        );
        // A token that has expired already is not on the list.
        return found ? revocationMessage(found) : Revocation.fromPartial(of);
      },
      replyCodec: Revocation,
    });
  }
}

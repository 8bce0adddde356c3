/** An owner of API keys, as far as their number is bounded: which of its keys count. The stream's id is the owner's. */
import type { Decider, DecisionContext } from '@caudal/aggregates/types.ts';
import { type EventOf, keyOwner } from '@caudal/contract/entities.ts';
import { refused } from '@caudal/kernel/errors.ts';
import {
  deleteEntry,
  type ExpiringMap,
  emptyExpiringMap,
  entriesOf,
  getEntry,
  setEntry,
} from '@caudal/kernel/expiring-map.ts';

export type KeyOwnerEvent = EventOf<typeof keyOwner>;

export interface KeyOwnerState {
  /** The ends of the keys that count, in milliseconds since 1970, by id. */
  keys: ExpiringMap<number>;
}

/** The API keys that an owner may have at a time. */
export const maxKeys = 100;

export const keyOwnerDecider: Decider<KeyOwnerState, KeyOwnerEvent> = {
  entity: keyOwner,
  initial: { keys: emptyExpiringMap() },
  evolve({ keys }, event, at) {
    switch (event.$case) {
      case 'keyCounted': {
        const { apiKeyId, endTime = at } = event.value;
        return { keys: setEntry(keys, apiKeyId, endTime.getTime(), endTime, at) };
      }
      case 'keyUncounted':
        return { keys: deleteEntry(keys, event.value.apiKeyId, at) };
    }
  },
  snapshot: { every: 500, schemaVersion: 1 },
};

/** Counts the key until this end. A repeat changes nothing. Refused: FAILED_PRECONDITION API_KEYS_TOO_MANY. */
export function countKey(
  { keys }: KeyOwnerState,
  { now }: Pick<DecisionContext, 'now'>,
  apiKeyId: string,
  endTime: Date | undefined,
): KeyOwnerEvent[] {
  const known = getEntry(keys, apiKeyId, now);
  if (known !== undefined && known === endTime?.getTime()) return [];
  if (known === undefined && live(keys, now) >= maxKeys)
    throw refused('API_KEYS_TOO_MANY', `The owner has ${maxKeys} API keys that count: revoke one that is not used.`);
  return [{ $case: 'keyCounted', value: { apiKeyId, endTime } }];
}

/** Counts the key no more. */
export function uncountKey({ keys }: KeyOwnerState, apiKeyId: string): KeyOwnerEvent[] {
  return getEntry(keys, apiKeyId) !== undefined ? [{ $case: 'keyUncounted', value: { apiKeyId } }] : [];
}

/** The map may have some that have ended, so they are counted only where it matters. */
function live(keys: ExpiringMap<number>, now: Date): number {
  if (keys.size < maxKeys) return keys.size;
  let count = 0;
  for (const [, , until] of entriesOf(keys)) if (until > now.getTime()) count++;
  return count;
}

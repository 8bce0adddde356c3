/** Ids that follow from a call's command: the same for a repeat of it, and for the grant of what it has asked for. */
import type { CommandId } from '@caudal/kernel/context.ts';
import { derivedId, derivedIdAt } from '@caudal/kernel/ids.ts';

/** The id of the refund that the call makes; undefined if it can't be repeated. */
export const refundIdOf = (commandId: CommandId | undefined): string | undefined =>
  commandId && derivedId(commandId.key, 'refund');

/** The id of the wallet or transfer that the call makes: a UUIDv7 if the request's id is one; undefined if it can't be repeated. */
export function newIdOf(commandId: CommandId | undefined, kind: 'wallet' | 'transfer'): string | undefined {
  if (!commandId) return undefined;
  const { key, madeAt } = commandId;
  return madeAt === undefined ? derivedId(key, kind) : derivedIdAt(madeAt, key, kind);
}

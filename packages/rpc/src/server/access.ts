/** Applies the contract's `(caudal.access)` to a call. Anything that is not allowed is refused. */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { type Caller, isService } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { webhookOnly } from './caller.ts';
import { webhookSubject } from './webhook.ts';

/** The caller's rights, as known before the handler runs. */
export interface Grant {
  /** The permission holds for the resources of all owners. */
  any: boolean;
}

const has = (caller: Caller, permission: string) => caller.permissions.has('*') || caller.permissions.has(permission);

/** Checks the permission, if the method requires one. Throws PERMISSION_DENIED, or UNIMPLEMENTED for a webhook. */
export function checkPermission({ access }: MethodContract, caller: Caller): Grant {
  const { authentication, permission, webhook } = access;
  if (authentication === 'NONE') return { any: false };
  if (authentication === 'WEBHOOK') {
    // Only a valid signature gives this subject, so any other call of a webhook is refused here.
    if (!webhook || caller.subject !== webhookSubject(webhook)) throw webhookOnly();
    return { any: false };
  }
  if (authentication === 'SERVICE' && !isService(caller))
    throw new CaudalError('PERMISSION_DENIED', 'INTERNAL_METHOD', "Only Caudal's own services may call this method.");
  const any = has(caller, `${permission}:any`);
  if (any || has(caller, permission)) return { any };
  // What it is for is known only from the request: see checkScope.
  if (access.scopeField !== undefined && hasScoped(caller, permission)) return { any: false };
  throw missing(permission);
}

const missing = (permission: string) =>
  new CaudalError('PERMISSION_DENIED', 'PERMISSION_MISSING', `The token lacks the permission "${permission}".`, {
    metadata: { permission },
  });

function hasScoped({ permissions }: Caller, permission: string): boolean {
  for (const each of permissions) if (each.startsWith(`${permission}:`)) return true;
  return false;
}

/**
 * Checks that the permission names what the request is about, if the contract says so: `log.events.read:orders`. Without a
 * scope it holds for all, as in version 0.2: the services' root gives it only to callers that it doesn't bind (auth.ts).
 * Throws PERMISSION_DENIED.
 */
export function checkScope({ access }: MethodContract, grant: Grant, caller: Caller, scope: unknown): void {
  const { permission } = access;
  if (grant.any || has(caller, permission) || caller.permissions.has(`${permission}:${scope}`)) return;
  throw missing(`${permission}:${String(scope).slice(0, 100)}`);
}

/** Checks the owner in the request, if the contract names an owner field. Throws PERMISSION_DENIED. */
export function checkOwnerField({ access }: MethodContract, grant: Grant, caller: Caller, owner: unknown): void {
  if (access.ownerField === undefined || grant.any || owner === caller.subject) return;
  const given = owner ? 'names another owner' : 'is missing';
  throw notOwner(
    access.permission,
    `"${access.ownerField}" ${given}. This token may use its own only: set it to "${caller.subject}".`,
    { field: access.ownerField },
  );
}

/** Checks the owner that the handler has read from the resource. Throws PERMISSION_DENIED. */
export function checkOwner({ access }: MethodContract, grant: Grant, caller: Caller, owner: string | undefined): void {
  if (grant.any || (owner !== undefined && owner !== '' && owner === caller.subject)) return;
  throw notOwner(access.permission, 'The resource belongs to another owner, and this token may use its own only.', {});
}

function notOwner(permission: string, message: string, facts: Record<string, string>): CaudalError {
  return new CaudalError('PERMISSION_DENIED', 'NOT_OWNER', message, { metadata: { permission, ...facts } });
}

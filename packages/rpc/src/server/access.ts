/** Who may do what: the contract's `(caudal.access)` applied to one call. Fails closed. */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { webhookOnly } from './caller.ts';
import { webhookSubject } from './webhook.ts';

/** What was found out about a caller's rights before the handler runs. */
export interface Grant {
  /** The permission holds for everybody's resources. */
  any: boolean;
}

const has = (caller: Caller, permission: string) => caller.permissions.has('*') || caller.permissions.has(permission);

/** Checks the permission, where the method asks for one. Throws PERMISSION_DENIED; UNIMPLEMENTED for a webhook's own. */
export function checkPermission({ access }: MethodContract, caller: Caller): Grant {
  const { authentication, permission, webhook } = access;
  if (authentication === 'NONE') return { any: false };
  if (authentication === 'WEBHOOK') {
    // However the call came in: only its signature makes this subject.
    if (!webhook || caller.subject !== webhookSubject(webhook)) throw webhookOnly();
    return { any: false };
  }
  if (authentication === 'SERVICE' && !caller.subject.startsWith('service:') && !caller.permissions.has('*'))
    throw new CaudalError('PERMISSION_DENIED', 'INTERNAL_METHOD', "Only Caudal's own services may call this method.");
  const any = has(caller, `${permission}:any`);
  if (!any && !has(caller, permission)) {
    throw new CaudalError(
      'PERMISSION_DENIED',
      'PERMISSION_MISSING',
      `The token lacks the permission "${permission}".`,
      {
        metadata: { permission },
      },
    );
  }
  return { any };
}

/** Checks the owner that the request names, where the contract says that it does. Throws PERMISSION_DENIED. */
export function checkOwnerField({ access }: MethodContract, grant: Grant, caller: Caller, owner: unknown): void {
  if (access.ownerField === undefined || grant.any || owner === caller.subject) return;
  const given = owner ? 'names somebody else' : 'is missing';
  throw notOwner(
    access.permission,
    `"${access.ownerField}" ${given}. This token may use its own only: set it to "${caller.subject}".`,
    { field: access.ownerField },
  );
}

/** Checks the owner that the handler found in the resource. Throws PERMISSION_DENIED. */
export function checkOwner({ access }: MethodContract, grant: Grant, caller: Caller, owner: string | undefined): void {
  if (grant.any || (owner !== undefined && owner !== '' && owner === caller.subject)) return;
  throw notOwner(access.permission, "The resource is somebody else's, and this token may use its own only.", {});
}

function notOwner(permission: string, message: string, facts: Record<string, string>): CaudalError {
  return new CaudalError('PERMISSION_DENIED', 'NOT_OWNER', message, { metadata: { permission, ...facts } });
}

/** The permissions that an API key may have: of public methods, and none that the caller lacks who gets its secret. */
import { contract } from '@caudal/contract/descriptors.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError, invalidField } from '@caudal/kernel/errors.ts';

const anySuffix = /:any$/;

let known: Set<string> | undefined;

/** The permissions that tokens of users may have. */
function publicPermissions(): Set<string> {
  known ??= new Set(
    contract()
      .methods()
      .filter(({ access }) => access.authentication === 'TOKEN')
      .map(({ access }) => access.permission),
  );
  return known;
}

/** Throws INVALID_ARGUMENT if there is no such permission. */
export function checkPermissions(wanted: readonly string[]): void {
  const wrong = wanted.find((permission) => !publicPermissions().has(permission.replace(anySuffix, '')));
  if (wrong !== undefined) throw invalidField('permissions', `"${wrong}" is no permission of the API`);
}

/**
 * Throws PERMISSION_DENIED if a permission exceeds those of the caller, who gets the key's secret. One for one's own resources
 * (`p`) is within `p:any`; and for another owner only that counts, since "own" would be the other's.
 */
export function checkScope({ subject, permissions }: Caller, owner: string, wanted: readonly string[]): void {
  for (const permission of wanted) {
    const plain = permission.replace(anySuffix, '');
    if (permissions.has('*') || permissions.has(`${plain}:any`)) continue;
    if (permission === plain && owner === subject && permissions.has(plain)) continue;
    throw new CaudalError(
      'PERMISSION_DENIED',
      'SCOPE_EXCEEDED',
      `"${permission}" exceeds the caller's own permissions, so the caller gets no secret of an API key with it.`,
      { metadata: { permission } },
    );
  }
}

/** Throws PERMISSION_DENIED for an API key: a stolen one could make another that outlives it. */
export function refuseApiKeys({ kind }: Caller): void {
  if (kind === 'key')
    throw new CaudalError(
      'PERMISSION_DENIED',
      'API_KEY_NOT_ALLOWED',
      'An API key manages no API keys and revokes nothing: call this with a token.',
    );
}

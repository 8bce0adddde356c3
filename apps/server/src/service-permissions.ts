/** What the tokens of services may say: a key is bound to the contexts of its workload, and a context to its own permissions. */
import { contract } from '@caudal/contract/descriptors.ts';
import { forwardPermission } from '@caudal/rpc/forward/frames.ts';
import type { JWK } from 'jose';
import { contexts } from './contexts.ts';
import { contextsOfKey } from './settings/keys.ts';

/** A process itself as a caller: it forwards calls, and asks about API keys and revocations. */
export const processCaller = { name: 'process', permissions: [forwardPermission, 'credentials.checks.read'] };

export const serviceSubject = (name: string): string => `service:${name}`;

/** The permissions of a service, by its subject; undefined if there is none. */
function permissionsOf(subject: string): string[] | undefined {
  if (subject === serviceSubject(processCaller.name)) return processCaller.permissions;
  return contexts.find(({ name }) => serviceSubject(name) === subject)?.permissions;
}

/**
 * The permissions that count of those that a token asks for; undefined if the key may not sign for this subject. Each key may
 * sign for the process that has it.
 */
export function allowedTo(key: JWK, subject: string, asked: ReadonlySet<string>): ReadonlySet<string> | undefined {
  const allowed = permissionsOf(subject);
  const named = contextsOfKey(key);
  const isOwn =
    subject === serviceSubject(processCaller.name)
      ? named.length > 0
      : named.some((name) => name === '*' || serviceSubject(name) === subject);
  if (!allowed || !isOwn) return undefined;
  const counts = (permission: string) => {
    if (asked.has(permission)) return true;
    // Version 0.2 asks for logs without naming a domain: that stands for those that the context follows.
    const plain = withoutScope(permission);
    return plain !== undefined && asked.has(plain);
  };
  return new Set(allowed.filter(counts));
}

let scoped: Set<string> | undefined;

/** `log.events.read` of `log.events.read:orders`; undefined for a permission that names no scope. */
export function withoutScope(permission: string): string | undefined {
  scoped ??= new Set(
    contract()
      .methods()
      .filter(({ access }) => access.scopeField !== undefined)
      .map(({ access }) => access.permission),
  );
  const [plain, scope] = permission.split(':');
  return scope !== undefined && scoped.has(plain!) ? plain : undefined;
}

/** What a process writes into its tokens: also the permissions without their scopes, which processes of version 0.2 ask for. */
export function askedFor(permissions: readonly string[]): string[] {
  return [...new Set(permissions.flatMap((permission) => [withoutScope(permission) ?? permission, permission]))];
}

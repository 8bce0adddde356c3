/** The callers that a method allows: reads and checks `(caudal.access)`. */
import type { DescMessage } from '@bufbuild/protobuf';
import type { HttpRule } from './http-rule.ts';

/** The ways to authenticate callers, in the order of caudal.Authentication's numbers from 1. */
export const authentications = ['TOKEN', 'SERVICE', 'WEBHOOK', 'NONE'] as const;
export type Authentication = (typeof authentications)[number];

/** The callers that a method allows. */
export interface Access {
  /** `orders.orders.place`; empty if the caller sends no token: for WEBHOOK and NONE. */
  permission: string;
  /** The request's field that names the owner, by its name in the contract. */
  ownerField?: string;
  /** The owner is stored in the resource, and the handler checks it. */
  ownerInResource: boolean;
  /** The request's field whose value the permission must name, by its name in the contract. */
  scopeField?: string;
  authentication: Authentication;
  /** For Caudal's own services only: `authentication` is SERVICE. */
  internal: boolean;
  /** Set for WEBHOOK only. */
  webhook?: Webhook;
}

export interface Webhook {
  /** `payments` for PAYMENTS_WEBHOOK_SECRET. The caller is `webhook:payments`. */
  name: string;
  /** The setting that holds its secrets. */
  secret: string;
}

/** A caudal.Access as read from the descriptors. */
export interface AccessMessage {
  permission: string;
  owner: { case?: 'ownerField'; value: string } | { case: 'ownerInResource'; value: boolean };
  internal: boolean;
  authentication: number;
  webhookSecret: string;
  scopeField: string;
}

/** The parts of the method that the access must fit. */
export interface AccessOf {
  path: string;
  request: DescMessage;
  http: HttpRule[];
  noSideEffects: boolean;
}

/** Reads an access. Throws an Error that names the method and what to change. */
export function accessOf(message: AccessMessage, of: AccessOf): Access {
  const { path, request, http } = of;
  const authentication = authenticationOf(path, message);
  const withToken = authentication === 'TOKEN' || authentication === 'SERVICE';
  checkPermission(path, message.permission, authentication, withToken);
  const { owner } = message;
  const ownerField = owner.case === 'ownerField' ? owner.value : undefined;
  const ownerInResource = owner.case === 'ownerInResource' && owner.value;
  if (ownerField !== undefined && !request.fields.some(({ name }) => name === ownerField))
    throw new Error(`${path}: ${request.typeName} has no field "${ownerField}" to name the owner.`);
  if (!withToken && (ownerField !== undefined || ownerInResource))
    throw new Error(`${path}: an owner is compared with a token, but ${authentication} has none: remove it.`);
  const scopeField = message.scopeField || undefined;
  if (
    scopeField !== undefined &&
    !request.fields.some(({ name, fieldKind }) => name === scopeField && fieldKind === 'scalar')
  )
    throw new Error(`${path}: ${request.typeName} has no text field "${scopeField}" that the permission could name.`);
  if (scopeField !== undefined && (!withToken || owner.case !== undefined))
    throw new Error(`${path}: scope_field needs a permission, and no owner beside it.`);
  if (authentication === 'SERVICE' && http.length > 0)
    throw new Error(`${path}: a method for Caudal's own services has no REST route: remove (google.api.http).`);
  if (authentication !== 'WEBHOOK' && message.webhookSecret)
    throw new Error(`${path}: webhook_secret needs authentication: AUTHENTICATION_WEBHOOK.`);
  return {
    permission: message.permission,
    ownerField,
    ownerInResource,
    ...(scopeField !== undefined && { scopeField }),
    authentication,
    internal: authentication === 'SERVICE',
    webhook: authentication === 'WEBHOOK' ? webhookOf(message.webhookSecret, of) : undefined,
  };
}

function authenticationOf(path: string, { authentication: number, internal }: AccessMessage): Authentication {
  const said = number === 0 ? undefined : authentications[number - 1];
  if (number !== 0 && !said) throw new Error(`${path}: ${number} is an unknown authentication.`);
  if (internal && said && said !== 'SERVICE')
    throw new Error(`${path}: internal means AUTHENTICATION_SERVICE, but AUTHENTICATION_${said} is given: keep one.`);
  return said ?? (internal ? 'SERVICE' : 'TOKEN');
}

function checkPermission(path: string, permission: string, authentication: Authentication, withToken: boolean): void {
  if (withToken && !/^[a-z]+(\.[a-z_]+){2}$/.test(permission))
    throw new Error(`${path}: a permission is <context>.<resource>.<verb>, not "${permission}".`);
  if (!withToken && permission)
    throw new Error(`${path}: a permission is part of a token, but ${authentication} has none: remove it.`);
}

/**
 * The signature covers only the body. So no part of the request may be in the path, no two methods may share a secret,
 * and the request_id must be in the body, where it makes a replay harmless.
 */
function webhookOf(secret: string, { path, request, http, noSideEffects }: AccessOf): Webhook {
  const [, name] = /^([A-Z][A-Z0-9_]*)_WEBHOOK_SECRET$/.exec(secret) ?? [];
  if (!name)
    throw new Error(`${path}: a webhook names its setting, webhook_secret: "<NAME>_WEBHOOK_SECRET", not "${secret}".`);
  if (http.length === 0) throw new Error(`${path}: a webhook needs a REST route: give it (google.api.http).`);
  const wrong = http.find(({ method, template, body }) => method !== 'POST' || !body || template.includes('{'));
  if (wrong)
    throw new Error(
      `${path}: a webhook's signature covers its body only: its routes are POST, with body "*" and nothing in the path, not ${wrong.method} ${wrong.template}.`,
    );
  if (!noSideEffects && !request.fields.some(({ name: field }) => field === 'request_id'))
    throw new Error(`${path}: ${request.typeName} needs a field request_id, by which a replay is recognised.`);
  return { name: name.toLowerCase().replaceAll('_', '-'), secret };
}

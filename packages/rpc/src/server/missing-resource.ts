/** The error that the resource of a request does not exist, made from the contract. */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { CaudalError, notFound } from '@caudal/kernel/errors.ts';
import { propertyOf } from '../schema/field-names.ts';

/** The error about a request; `cause` is what the handler found. */
export type MissingResource = (request: unknown, cause: unknown) => CaudalError;

/**
 * The resource is named by the first id in the method's path: `order_id` gives ORDER_NOT_FOUND, as `notFound('order', id)` does in a
 * handler. A resource with a name of several parts has the kind of its collection: `/v1/parcels/{carrier}/{tracking_number}` gives
 * PARCEL_NOT_FOUND, as `notFound('parcel', 'ups/1Z')` does. Throws an Error if the path has neither, so that the server does not start.
 */
export function missingResource({ path, http, request }: MethodContract): MissingResource {
  const named = nameIn(http[0]?.template ?? '') ?? nameAmong(request.fields.map(({ name }) => name));
  const fields = named?.fields.map((name) => request.fields.find((field) => field.name === name));
  if (!named || !fields?.every((field) => field !== undefined))
    throw new Error(
      `${path} has owner_in_resource, and nothing in its path that names the resource, such as {order_id}.`,
    );
  const properties = fields.map(propertyOf);
  return (asked, cause) => {
    const name = properties.map((property) => (asked as Record<string, string>)[property]!).join('/');
    const { code, reason, message, metadata } = notFound(named.kind, name);
    return new CaudalError(code, reason, message, { metadata, cause });
  };
}

interface Named {
  kind: string;
  fields: string[];
}

function nameIn(template: string): Named | undefined {
  const first = /\{(\w+)\}/.exec(template)?.[1];
  if (first?.endsWith('_id')) return { kind: kindOf(first), fields: [first] };
  const [, kind, parts] = /\/(\w+)s((?:\/\{\w+\}){2,})/.exec(template) ?? [];
  return kind && parts ? { kind, fields: [...parts.matchAll(/\w+/g)].map(([field]) => field) } : undefined;
}

/** Of a method without a route. */
function nameAmong(fields: string[]): Named | undefined {
  const id = fields.find((name) => /(?<!^request)_id$/.test(name));
  return id === undefined ? undefined : { kind: kindOf(id), fields: [id] };
}

const kindOf = (id: string) => id.slice(0, -'_id'.length);

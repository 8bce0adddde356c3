/** The error that the resource of a request does not exist, made from the contract. */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { CaudalError, notFound } from '@caudal/kernel/errors.ts';
import { propertyOf } from '../schema/field-names.ts';

/** The error about a request; `cause` is what the handler found. */
export type MissingResource = (request: unknown, cause: unknown) => CaudalError;

/**
 * The resource is named by the first id in the method's path: `order_id` gives ORDER_NOT_FOUND, as `notFound('order', id)` does in a
 * handler. One that is named by several fields, `/v1/parcels/{carrier}/{tracking_number}`, is called after its collection, and its id is
 * the fields with slashes between them. Throws an Error if the path says neither, so that the server does not start.
 */
export function missingResource({ path, http, request }: MethodContract): MissingResource {
  const template = http[0]?.template ?? '';
  const names = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
  const inPath = names[0];
  const field = request.fields.find(({ name }) => (inPath ? name === inPath : /(?<!^request)_id$/.test(name)));
  const collection = /\/(\w+)s\/\{\w+\}\/\{/.exec(template)?.[1];
  if (field?.name.endsWith('_id')) return about(field.name.slice(0, -'_id'.length), [propertyOf(field)]);
  const fields = request.fields.filter(({ name }) => names.includes(name));
  if (collection && fields.length === names.length) return about(collection, fields.map(propertyOf));
  throw new Error(`${path} has owner_in_resource, and no id in its path that names the resource, such as {order_id}.`);
}

function about(kind: string, properties: string[]): MissingResource {
  return (asked, cause) => {
    const id = properties.map((property) => (asked as Record<string, string>)[property]!).join('/');
    const { code, reason, message, metadata } = notFound(kind, id);
    return new CaudalError(code, reason, message, { metadata, cause });
  };
}

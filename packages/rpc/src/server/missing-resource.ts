/** The error that the resource of a request does not exist, made from the contract. */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { CaudalError, notFound } from '@caudal/kernel/errors.ts';
import { propertyOf } from '../schema/field-names.ts';

/** The error about a request; `cause` is what the handler found. */
export type MissingResource = (request: unknown, cause: unknown) => CaudalError;

/**
 * The resource is named by the first id in the method's path: `order_id` gives ORDER_NOT_FOUND, as `notFound('order', id)` does in a
 * handler. Throws an Error if the method has none, so that the server does not start.
 */
export function missingResource({ path, http, request }: MethodContract): MissingResource {
  const inPath = /\{(\w+)\}/.exec(http[0]?.template ?? '')?.[1];
  const field = request.fields.find(({ name }) => (inPath ? name === inPath : /(?<!^request)_id$/.test(name)));
  if (!field?.name.endsWith('_id'))
    throw new Error(
      `${path} has owner_in_resource, and no id in its path that names the resource, such as {order_id}.`,
    );
  const kind = field.name.slice(0, -'_id'.length);
  const property = propertyOf(field);
  return (asked, cause) => {
    const { code, reason, message, metadata } = notFound(kind, (asked as Record<string, string>)[property]!);
    return new CaudalError(code, reason, message, { metadata, cause });
  };
}

/** The Location of a 201: the path at which the new resource is read. */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { type Fields, propertyOf } from '../schema/field-names.ts';

/** The Location of an answer; undefined if the answer lacks a field of the path. */
export type LocationOf = (answer: Fields) => string | undefined;

/** Makes the Location of a method's answers; undefined if the method has none. */
export function locationOf({ location, response }: MethodContract): LocationOf | undefined {
  if (location === undefined) return undefined;
  // `/v1/orders/{order_id}` as "/v1/orders/", "order_id", "".
  const parts = location.split(/\{(\w+)\}/);
  const properties = parts.map((part, index) =>
    index % 2 === 1 ? propertyOf(response.fields.find(({ name }) => name === part)!) : undefined,
  );
  return (answer) => {
    const filled = parts.map((part, index) => {
      const property = properties[index];
      return property === undefined ? part : encodeURIComponent(String(answer[property] ?? ''));
    });
    return filled.every((part, index) => index % 2 === 0 || part !== '') ? filled.join('') : undefined;
  };
}

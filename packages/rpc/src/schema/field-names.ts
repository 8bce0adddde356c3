/** How fields of the contract are called in the messages that ts-proto generates. */
import type { DescField, DescOneof } from '@bufbuild/protobuf';

/** `lines`, `customerId`: the property of a field; of a oneof's member: the `$case`. */
export const propertyOf = (field: DescField): string => field.jsonName;

/** The property that holds a oneof: `{ $case, value }`. */
export const oneofPropertyOf = (oneof: DescOneof): string =>
  oneof.name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** A message as ts-proto makes it. */
export type Fields = Record<string, unknown>;

/** The names of the contract's fields in the messages that ts-proto generates. */
import type { DescField, DescOneof } from '@bufbuild/protobuf';

/** The property of a field, for example `customerId`. For a oneof's member, its `$case`. */
export const propertyOf = (field: DescField): string => field.jsonName;

/** The property of a oneof: `{ $case, value }`. */
export const oneofPropertyOf = (oneof: DescOneof): string =>
  oneof.name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** A message of ts-proto. */
export type Fields = Record<string, unknown>;

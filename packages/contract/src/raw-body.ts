/** Requests whose body over REST stays as it was sent: reads and checks `(caudal.raw_body)`. */
import { type DescMessage, ScalarType } from '@bufbuild/protobuf';
import type { Access } from './access.ts';
import type { HttpRule } from './http-rule.ts';

/** Where the parts of such a request go, by the contract's names of the fields. */
export interface RawBody {
  /** Gets the body. */
  field: string;
  /** Get headers. */
  headers: { name: string; field: string }[];
}

/** The parts of the method that the option must fit. */
export interface RawBodyOf {
  path: string;
  request: DescMessage;
  http: HttpRule[];
  access: Access;
}

/** Reads the option; undefined if there is none. Throws an Error that names the method and what to change. */
export function rawBodyOf(option: RawBody | undefined, of: RawBodyOf): RawBody | undefined {
  if (!option) return undefined;
  const { path, request, http, access } = of;
  if (access.authentication !== 'NONE')
    throw new Error(`${path}: raw_body is for callers that the handler knows by what they send: AUTHENTICATION_NONE.`);
  if (http.length === 0 || http.some(({ body }) => !body))
    throw new Error(`${path}: raw_body needs routes with the body "*".`);
  const isScalar = (name: string, scalar: ScalarType) =>
    request.fields.some((field) => field.name === name && field.fieldKind === 'scalar' && field.scalar === scalar);
  if (!isScalar(option.field, ScalarType.BYTES))
    throw new Error(`${path}: ${request.typeName} has no field "${option.field}" of type bytes for the body.`);
  const headers = option.headers.map(({ name, field }) => ({ name, field }));
  for (const { name, field } of headers) {
    if (!/^[a-z][a-z0-9-]*$/.test(name)) throw new Error(`${path}: "${name}" is no name of a header in small letters.`);
    if (!isScalar(field, ScalarType.STRING))
      throw new Error(`${path}: ${request.typeName} has no text field "${field}" for the header ${name}.`);
  }
  return { field: option.field, headers };
}

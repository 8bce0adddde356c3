/** A REST request as the JSON of a request message, from path, query and body, by the rules of google.api.http. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import type { FieldViolation } from '@caudal/kernel/errors.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { invalidRequest } from '../schema/validation.ts';
import { fieldNamed, isWellKnown, type Json } from './transcode.ts';

export interface RestParts {
  /** By the names of the contract. */
  params: Record<string, string>;
  query: URLSearchParams;
  /** The parsed body; undefined if there is none. */
  body: unknown;
  /** If-Match, without quotes, for a request with an etag. */
  ifMatch: string | undefined;
  /** What is wrong with the headers. */
  refused?: FieldViolation[];
}

const maxQueryFields = 200;

/** Combines the parts. Throws INVALID_ARGUMENT, which names every part that has no place in the request. */
export function requestJson(
  type: DescMessage,
  hasBody: boolean,
  { params, query, body, ifMatch, refused = [] }: RestParts,
): Json {
  const found = [...refused];
  const json: Json = hasBody ? withMasks(type, bodyJson(type, body)) : {};
  if (!hasBody && body !== undefined) found.push({ field: 'body', description: 'must be absent' });
  let count = 0;
  for (const [name, value] of query) {
    if (++count > maxQueryFields) {
      found.push({
        field: name.slice(0, 100),
        description: `comes after ${maxQueryFields} parameters, which is the most`,
      });
      break;
    }
    if (hasBody) found.push({ field: name.slice(0, 100), description: 'must be in the body, not in the query' });
    else addQuery(type, json, name, value, found);
  }
  for (const [name, value] of Object.entries(params)) {
    const field = fieldNamed(type, name)!;
    const given = json[field.jsonName] ?? json[field.name];
    if (given !== undefined && given !== value) {
      found.push({ field: name, description: `must be "${value}", as in the path, or absent` });
    }
    delete json[field.name];
    json[field.jsonName] = value;
  }
  if (ifMatch !== undefined && ifMatch !== '*') {
    if (json.etag !== undefined && json.etag !== ifMatch) {
      found.push({ field: 'etag', description: 'must be the same as in If-Match, or absent' });
    } else json.etag = ifMatch;
  }
  if (found.length > 0) throw invalidRequest(found, 'MALFORMED_REQUEST');
  return json;
}

function bodyJson(type: DescMessage, body: unknown): Json {
  if (body === undefined) return {};
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return { ...body };
  throw new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', `The body must be a JSON object (${type.name}).`);
}

const isMask = ({ message }: DescField) => message?.typeName === 'google.protobuf.FieldMask';

/** A mask with the names of JSON. Both spellings are accepted: `createTime` of JSON and `create_time` of the contract. */
const spelledMask = (text: string) => text.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** The body with its masks as JSON spells them. */
function withMasks(type: DescMessage, json: Json): Json {
  for (const field of type.fields.filter(isMask)) {
    for (const name of [field.jsonName, field.name]) {
      const text = json[name];
      if (typeof text === 'string') json[name] = spelledMask(text);
    }
  }
  return json;
}

/** `price.currency=GBP` sets a nested field. A repeated name adds to a list. */
function addQuery(type: DescMessage, json: Json, name: string, text: string, found: FieldViolation[]): void {
  const steps = name.split('.');
  // The names of the contract, as far as the steps are known.
  const spelled = [...steps];
  const refuse = (description: string) => found.push({ field: spelled.join('.').slice(0, 100), description });
  let at = json;
  let within = type;
  for (const [index, step] of steps.entries()) {
    const field = fieldNamed(within, step);
    if (!field) {
      refuse(`is not a field of ${type.name}`);
      return;
    }
    spelled[index] = field.name;
    if (index === steps.length - 1) {
      if (field.fieldKind === 'map' || (field.message && !isWellKnown(field.message)))
        refuse('is not a field with a single value');
      else if (field.fieldKind === 'list')
        at[field.jsonName] = [...((at[field.jsonName] as unknown[]) ?? []), typed(field, text)];
      else if (at[field.jsonName] !== undefined) refuse('is given twice');
      else at[field.jsonName] = typed(field, text);
      return;
    }
    if (field.fieldKind !== 'message' || isWellKnown(field.message)) {
      refuse(`has no field "${steps.slice(index + 1).join('.')}"`);
      return;
    }
    at[field.jsonName] ??= {};
    at = at[field.jsonName] as Json;
    within = field.message;
  }
}

/** A text of the query as JSON of the field's type. If it does not fit, it stays a text, and is refused later. */
function typed(field: DescField, text: string): unknown {
  if (field.enum) return /^-?\d+$/.test(text) ? Number(text) : text;
  if (isMask(field)) return spelledMask(text);
  if (field.scalar === 8 && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}

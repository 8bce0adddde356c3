/** The REST interface as an OpenAPI 3.1 document, derived from the contract. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import type { HttpRule } from '@caudal/contract/http-rule.ts';
import { readStrengths } from '@caudal/contract/reads.ts';
import { maskedMessage } from '../schema/mask.ts';
import { isConfirmed, isKept } from './caching.ts';
import { collectSchemas, isRequired, type Schema, type Schemas } from './openapi-schema.ts';
import { securityOf, securitySchemes } from './openapi-security.ts';
import { isWellKnown } from './transcode.ts';

const about = `Commands and queries of Caudal, over JSON. Everything here is derived from the gRPC contract.

- Numbers of 64 bits are strings, times are RFC 3339, enums are written by name.
- Bodies are UTF-8. Unknown fields, keys that an object has twice, and control characters in texts are refused.
- Amounts are whole minor units of a currency of ISO 4217, which says how many decimals there are. New wallets and prices must be in one that is in use.
- A command with a \`requestId\` may be repeated: a repeat with the same id and content gets the first answer.
- Errors are \`application/problem+json\` (RFC 9457) with a machine-readable \`reason\`.
- An answer's \`Consistency-Token\`, sent with a query, makes the query see at least what the answer wrote.`;

/** The document of those methods that have routes and are not internal. */
export function openApi(methods: MethodContract[]): Schema {
  const open = methods.filter(({ access, http }) => !access.internal && http.length > 0);
  const schemas = collectSchemas(open.filter(({ page }) => !page).map(({ response }) => response));
  const paths: Record<string, Record<string, Schema>> = {};
  for (const method of open) {
    method.http.forEach((rule, index) => {
      paths[rule.template] ??= {};
      paths[rule.template]![rule.method.toLowerCase()] = operation(method, rule, index, schemas);
    });
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Caudal',
      version: 'v1',
      description: about,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: tags(open),
    security: [{ bearer: [] }],
    paths,
    components: {
      schemas: { ...schemas.components, Problem: problem },
      responses: {
        Problem: {
          description: 'An error.',
          content: { 'application/problem+json': { schema: ref('Problem') } },
        },
      },
      securitySchemes: securitySchemes(open),
    },
  };
}

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const shortName = ({ service }: MethodContract) => service.slice(service.lastIndexOf('.') + 1);

function tags(methods: MethodContract[]): Schema[] {
  const services = new Map(methods.filter(({ http }) => http.length > 0).map((method) => [shortName(method), method]));
  return [...services].map(([name, { service }]) => ({
    name,
    description: contract().comment(contract().registry.getService(service)!),
  }));
}

function operation(method: MethodContract, rule: HttpRule, index: number, schemas: Schemas): Schema {
  const descriptor = contract()
    .registry.getService(method.service)!
    .methods.find(({ name }) => name === method.name)!;
  const inPath = [...rule.template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
  const hasEtag = method.response.fields.some(({ name }) => name === 'etag') || isKept(method);
  const isGet = rule.method === 'GET';
  return {
    operationId: `${shortName(method)}_${method.name}${index || ''}`,
    tags: [shortName(method)],
    summary: words(method.name),
    description: `${contract().comment(descriptor)}\n\n${callerText(method)}`,
    ...securityOf(method),
    parameters: [
      ...inPath.map((name) => pathParameter(method, name, schemas)),
      ...(rule.body ? [] : queryParameters(method, inPath, schemas)),
      ...headerParameters(method, isGet, hasEtag),
      ...rawHeaders(method, schemas),
    ],
    ...(rule.body && {
      requestBody: {
        required: method.request.fields.some((field) => !inPath.includes(field.name) && isRequired(field)),
        ...(method.maxRequestBytes && { description: `At most ${method.maxRequestBytes} bytes.` }),
        content: {
          'application/json': { schema: method.rawBody ? rawSchema(method) : schemas.message(method.request, inPath) },
        },
      },
    }),
    'x-caudal-rate-limit': method.rateLimit,
    responses: responses(method, rule, hasEtag, schemas),
  };
}

/** Of a body in a format of its sender no more is known. */
function rawSchema({ request, rawBody }: MethodContract): Schema {
  const field = request.fields.find(({ name }) => name === rawBody!.field)!;
  return { type: 'object', description: contract().comment(field) };
}

/** The headers that become fields. */
function rawHeaders({ request, rawBody }: MethodContract, schemas: Schemas): Schema[] {
  return (rawBody?.headers ?? []).map(({ name, field: of }) => {
    const field = request.fields.find((each) => each.name === of)!;
    return { name, in: 'header', description: contract().comment(field), schema: schemas.field(field) };
  });
}

const words = (name: string) => name.replace(/([a-z])([A-Z])/g, (_, a: string, b: string) => `${a} ${b.toLowerCase()}`);

function callerText({ access, rawBody }: MethodContract): string {
  const { authentication, permission, ownerField, ownerInResource } = access;
  if (rawBody) return 'It takes no token: its caller is known by what it sends.';
  if (authentication === 'NONE') return 'Public: it takes no token.';
  if (authentication === 'WEBHOOK') return 'A webhook: its caller signs the body instead of showing a token.';
  const owner = ownerField
    ? ` Without the suffix \`:any\`, \`${ownerField}\` must be the token's subject.`
    : ownerInResource
      ? " Without the suffix `:any`, it is for the caller's own resources."
      : '';
  return `Needs the permission \`${permission}\`.${owner}`;
}

function pathParameter({ request }: MethodContract, name: string, schemas: Schemas): Schema {
  const field = request.fields.find((candidate) => candidate.name === name)!;
  return { name, in: 'path', required: true, description: contract().comment(field), schema: schemas.field(field) };
}

/** The request's fields as query parameters. Fields of a nested message are written as `price.currency`. */
function queryParameters({ request, response }: MethodContract, inPath: string[], schemas: Schemas): Schema[] {
  const flat = (fields: DescField[], prefix: string, optional: boolean): Schema[] =>
    fields.flatMap((field): Schema[] => {
      if (field.fieldKind === 'map') return [];
      if (field.fieldKind === 'message' && !isWellKnown(field.message))
        return flat(field.message.fields, `${prefix}${field.jsonName}.`, true);
      const parameter = {
        name: `${prefix}${field.jsonName}`,
        in: 'query',
        description: contract().comment(field),
        schema: { ...schemas.field(field), ...(field.name === 'read_mask' && { examples: [maskExample(response)] }) },
      };
      return [!optional && isRequired(field) ? { ...parameter, required: true } : parameter];
    });
  return flat(
    request.fields.filter(({ name }) => !inPath.includes(name)),
    '',
    false,
  );
}

/** An example of a mask: two fields of the answer and, if there is a nested message, one field of it. */
function maskExample(response: DescMessage): string {
  const { fields } = maskedMessage(response);
  const whole = fields.filter(({ message }) => !message).slice(0, 2);
  const outer = fields.find(({ message }) => message && !isWellKnown(message));
  const inner = outer ? [`${outer.jsonName}.${outer.message!.fields[0]!.jsonName}`] : [];
  return [...whole.map(({ jsonName }) => jsonName), ...inner].join(',');
}

const header = (name: string, description: string, pattern?: string): Schema => ({
  name,
  in: 'header',
  description,
  schema: { type: 'string', ...(pattern && { pattern }) },
});

const strengthText =
  'What the answer includes. `ONE`: the nearest copy; `AT_LEAST`: what the Consistency-Token names; `QUORUM`: what a majority of the store has confirmed; `STRONG`: what the log has now, of one resource.';

function headerParameters(method: MethodContract, isGet: boolean, hasEtag: boolean): Schema[] {
  const { request, access } = method;
  const all = [header('X-Request-Id', 'Names this request in logs and errors. Generated if absent.')];
  if (isGet) all.push(header('Consistency-Token', 'From an earlier answer: the query sees at least its writes.'));
  if (isGet)
    all.push({ ...header('Read-Strength', strengthText), schema: { type: 'string', enum: [...readStrengths] } });
  if (!access.webhook && request.fields.some(({ name }) => name === 'request_id')) {
    const meaning =
      'Stands for `requestId` in the body: a text of 1 to 255 characters of ASCII, in double quotes or without.';
    all.push(header('Idempotency-Key', meaning, '^[!#-~]{1,255}$'));
  }
  if (isGet && hasEtag && isConfirmed(method))
    all.push(header('If-None-Match', 'An earlier ETag. The answer is 304 if nothing has changed.'));
  if (!isGet && request.fields.some(({ name }) => name === 'etag'))
    all.push(header('If-Match', 'From an earlier ETag: 412 if it has changed since. The same as `etag` in the body.'));
  return all;
}

/** The meaning of each status of success. */
const successes = { 200: 'Done.', 201: 'Created: read it at its Location.', 202: 'Accepted: the work is done later.' };

function responses(method: MethodContract, rule: HttpRule, hasEtag: boolean, schemas: Schemas): Schema {
  const { successStatus, location, access } = method;
  const isGet = rule.method === 'GET';
  const text = (description: string) => ({ description, schema: { type: 'string' } });
  const failure = { $ref: '#/components/responses/Problem' };
  return {
    [successStatus]: {
      description: successes[successStatus],
      headers: {
        'X-Request-Id': text('Names this request.'),
        ...(location && { Location: text(`Where it is read: \`${location}\`.`) }),
        ...(hasEtag && { ETag: text('Changes with every change of the resource.') }),
        ...(!isGet && { 'Consistency-Token': text('For queries that must see what this command wrote.') }),
        ...(method.rateLimit !== 'UNLIMITED' && {
          RateLimit: text("How many calls of the caller's quota are left (`r`), and for how many seconds (`t`)."),
          'RateLimit-Policy': text('The quota (`q`) in a window of so many seconds (`w`). Absent if it is off.'),
        }),
        ...(isGet && { Age: text('If it is from a cache: the age of its oldest part, in seconds.') }),
      },
      content: method.page
        ? { 'text/html': { schema: { type: 'string', description: contract().comment(method.response) } } }
        : { 'application/json': { schema: schemas.message(method.response) } },
    },
    ...(isGet &&
      hasEtag &&
      isConfirmed(method) && { 304: { description: 'Unchanged since the ETag in If-None-Match.' } }),
    400: failure,
    ...((access.authentication !== 'NONE' || method.rawBody) && { 401: failure }),
    ...(access.permission && { 403: failure }),
    ...((rule.body || method.maxRequestBytes) && { 413: failure }),
    429: failure,
    503: failure,
    default: failure,
  };
}

const problem: Schema = {
  type: 'object',
  description: 'An error (RFC 9457).',
  required: ['type', 'title', 'status', 'detail', 'instance', 'code', 'reason'],
  properties: {
    type: { type: 'string', description: 'A URN of the reason.' },
    title: { type: 'string', description: 'The kind of error, for people.' },
    status: { type: 'integer', description: 'The HTTP status.' },
    detail: { type: 'string', description: 'What happened, for people.' },
    instance: { type: 'string', description: 'A URN of this request.' },
    code: { type: 'string', description: "gRPC's canonical code." },
    reason: { type: 'string', description: 'What happened, for machines: see the catalogue of reasons.' },
    metadata: { type: 'object', additionalProperties: { type: 'string' }, description: 'Facts for machines.' },
    violations: {
      type: 'array',
      description: 'The fields that are wrong.',
      items: {
        type: 'object',
        required: ['field', 'description'],
        properties: {
          field: { type: 'string', description: 'Path in the request: `lines[2].quantity`.' },
          description: { type: 'string', description: 'What to change.' },
        },
      },
    },
    retryAfterMs: { type: 'integer', description: 'How long to wait before a repeat, in milliseconds.' },
  },
};

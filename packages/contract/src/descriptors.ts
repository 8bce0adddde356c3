/**
 * Reads the contract: routes, permissions, rules for fields, and comments. All of it is in the compiled descriptors
 * (`gen/contract.binpb`), so that none of it is written twice.
 */
import { readFileSync } from 'node:fs';
import {
  createFileRegistry,
  type DescExtension,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescOneof,
  type FileRegistry,
  fromBinary,
  getOption,
  hasOption,
  type Message,
} from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import {
  type FileDescriptorSet,
  FileDescriptorSetSchema,
  MethodOptions_IdempotencyLevel,
} from '@bufbuild/protobuf/wkt';
import { type Access, type AccessMessage, accessOf } from './access.ts';
import { type Audit, auditOf } from './audit.ts';
import { commentsOf } from './comments.ts';
import { type HttpRule, type HttpRuleMessage, httpRules } from './http-rule.ts';
import { type MessageStream, messageStreamOf } from './message-stream.ts';
import { answersPage } from './page.ts';
import { type RawBody, rawBodyOf } from './raw-body.ts';
import { type Reads, type ReadsMessage, readsOf } from './reads.ts';
import { type Serving, servingOf } from './serving.ts';

/** A method with all of its options. */
export interface MethodContract extends Serving {
  /** `/caudal.orders.v1.OrderService/PlaceOrder` */
  path: string;
  /** `caudal.orders.v1.OrderService` */
  service: string;
  /** `PlaceOrder` */
  name: string;
  http: HttpRule[];
  access: Access;
  audit: Audit;
  reads: Reads;
  /** Set if a body over REST stays as it was sent. */
  rawBody: RawBody | undefined;
  /** Set if its requests and answers are streams. */
  stream: MessageStream | undefined;
  /** Whether its answers over REST are HTML: it answers with a caudal.type.v1.Page. */
  page: boolean;
  /** `idempotency_level = NO_SIDE_EFFECTS`: repeating it is safe. */
  noSideEffects: boolean;
  request: DescMessage;
  response: DescMessage;
}

/** By the numbers of caudal.TextForm. */
const textForms = ['line', 'lines', 'currency', 'email', 'customerId'] as const;
export type TextForm = (typeof textForms)[number];

export interface Contract {
  registry: FileRegistry;
  /** The compiled descriptors, for server reflection. */
  files: FileDescriptorSet;
  /** The method at `/package.Service/Method`. Throws if there is none, or if its options are missing or wrong. */
  method(path: string): MethodContract;
  /** All methods of all services, in the contract's order. Throws like `method`. */
  methods(): MethodContract[];
  /** The comment of a message, field, enum, value, service or method; empty if there is none. */
  comment(descriptor: { proto: Message }): string;
  /** `(buf.validate.field)` of a field: a buf.validate.FieldRules. */
  fieldRules(field: DescField): Message | undefined;
  /** `(buf.validate.oneof).required` */
  isRequired(oneof: DescOneof): boolean;
  /** `(caudal.text)`: how the text of a field is written. */
  textForm(field: DescField): TextForm;
  /** `(caudal.given)`: a number that JSON must give. */
  mustBeGiven(field: DescField): boolean;
  /** `(caudal.personal)` */
  isPersonal(field: DescField): boolean;
  /** `(caudal.person)`: the field of the same message with the id of the person whose text it is; or empty. */
  personOf(field: DescField): string;
  /** `(caudal.numbers)`: its texts may look like card numbers. */
  mayLookLikeCard(field: DescField): boolean;
  /** `(caudal.entity)`, or empty. */
  entityOf(message: DescMessage): string;
}

let loaded: Contract | undefined;

/** Replaces the contract from now on: for tests, whose contract has additional methods. */
export function useContract(other: Contract): void {
  loaded = other;
}

/** The compiled descriptors of the contract. */
export const contractFile = new URL('./gen/contract.binpb', import.meta.url);

/** The contract. It is read at the first call, which takes 60 ms. */
export function contract(): Contract {
  loaded ??= load(readFileSync(contractFile));
  return loaded;
}

/** The contract in these descriptors: a FileDescriptorSet with source info. */
export function load(bytes: Uint8Array): Contract {
  const files = fromBinary(FileDescriptorSetSchema, bytes);
  const registry = createFileRegistry(files);
  const comments = commentsOf(files);
  const extension = (name: string) => {
    const found = registry.getExtension(name);
    if (!found) throw new Error(`The contract does not declare ${name}.`);
    return found;
  };
  const http = extension('google.api.http');
  const access = extension('caudal.access');
  const successStatus = extension('caudal.success_status');
  const maxRequestBytes = extension('caudal.max_request_bytes');
  const maxBytesInFlight = extension('caudal.max_bytes_in_flight');
  const rateLimit = extension('caudal.rate_limit');
  const act = extension('caudal.act');
  const reads = extension('caudal.reads');
  const rawBody = extension('caudal.raw_body');
  const rules = extension('buf.validate.field');
  const oneof = extension('buf.validate.oneof');
  const personal = extension('caudal.personal');
  const person = extension('caudal.person');
  const numbers = extension('caudal.numbers');
  const text = extension('caudal.text');
  const given = extension('caudal.given');
  const entity = extension('caudal.entity');
  const methods = new Map<string, MethodContract>();

  const method = (path: string): MethodContract => {
    const known = methods.get(path);
    if (known) return known;
    const [, service = '', name = ''] = path.split('/');
    const descriptor = registry.getService(service)?.methods.find((candidate) => candidate.name === name);
    if (!descriptor) throw new Error(`The contract has no method ${path}.`);
    if (!hasOption(descriptor, access))
      throw new Error(`${path} has no option (caudal.access): add one with its permission.`);
    const rules = routesOf(descriptor);
    const noSideEffects = isSafe(descriptor);
    const { input: request, output: response } = descriptor;
    const allowed = accessOf(getOption(descriptor, access) as unknown as AccessMessage, {
      path,
      request,
      http: rules,
      noSideEffects,
    });
    const number = (option: DescExtension) =>
      hasOption(descriptor, option) ? (getOption(descriptor, option) as unknown as number) : undefined;
    const serving = servingOf(
      {
        successStatus: number(successStatus),
        maxRequestBytes: number(maxRequestBytes),
        maxBytesInFlight: number(maxBytesInFlight),
        rateLimit: number(rateLimit),
      },
      { path, http: rules, access: allowed, response, readable: readable() },
    );
    const audited = auditOf(hasOption(descriptor, act) && (getOption(descriptor, act) as unknown as boolean), {
      ...{ path, request, response, http: rules, access: allowed, noSideEffects },
      isPersonal: (field) => hasOption(field, personal) && (getOption(field, personal) as unknown as boolean),
    });
    const reading = readsOf(
      hasOption(descriptor, reads) ? (getOption(descriptor, reads) as unknown as ReadsMessage) : undefined,
      { path, http: rules, access: allowed, noSideEffects, showsPersonal: audited.personal },
    );
    const raw = rawBodyOf(
      hasOption(descriptor, rawBody) ? (getOption(descriptor, rawBody) as unknown as RawBody) : undefined,
      { path, request, http: rules, access: allowed },
    );
    const stream = messageStreamOf({
      ...{ path, request, response, http: rules, access: allowed },
      kind: descriptor.methodKind,
    });
    const made: MethodContract = {
      ...{ path, service, name, http: rules, access: allowed, audit: audited, reads: reading },
      ...{ rawBody: raw, stream, page: answersPage({ path, http: rules, response }) },
      ...{ ...serving, noSideEffects, request, response },
    };
    methods.set(path, made);
    return made;
  };

  const pathOf = ({ parent, name }: DescMethod) => `/${parent.typeName}/${name}`;
  const routesOf = (descriptor: DescMethod): HttpRule[] =>
    hasOption(descriptor, http)
      ? httpRules(pathOf(descriptor), getOption(descriptor, http) as unknown as HttpRuleMessage)
      : [];
  const descriptors = () =>
    [...registry]
      .filter((type) => type.kind === 'service')
      .filter((service) => service.typeName.startsWith('caudal.'))
      .flatMap((service) => service.methods);
  let getRoutes: string[] | undefined;
  const readable = () => {
    getRoutes ??= descriptors()
      .flatMap(routesOf)
      .filter(({ method: verb }) => verb === 'GET')
      .map(({ template }) => template);
    return getRoutes;
  };

  return {
    registry,
    files,
    method,
    methods() {
      const all = descriptors().map((descriptor) => method(pathOf(descriptor)));
      assertOwnSecrets(all);
      return all;
    },
    comment: (descriptor) => comments.get(descriptor.proto) ?? '',
    fieldRules: (field) => (hasOption(field, rules) ? (getOption(field, rules) as Message) : undefined),
    isRequired: (group) => hasOption(group, oneof) && isSet(oneof.message, getOption(group, oneof), 'required'),
    textForm: (field) => textForms[hasOption(field, text) ? (getOption(field, text) as unknown as number) : 0]!,
    mustBeGiven: (field) => hasOption(field, given) && (getOption(field, given) as unknown as boolean),
    isPersonal: (field) => hasOption(field, personal) && (getOption(field, personal) as unknown as boolean),
    personOf: (field) => (hasOption(field, person) ? (getOption(field, person) as unknown as string) : ''),
    mayLookLikeCard: (field) => hasOption(field, numbers) && (getOption(field, numbers) as unknown as boolean),
    entityOf: (message) => (hasOption(message, entity) ? (getOption(message, entity) as unknown as string) : ''),
  };
}

/**
 * A signature does not name its method. If two methods shared a secret, a call of one could be replayed as the other.
 */
function assertOwnSecrets(methods: MethodContract[]): void {
  const known = new Map<string, string>();
  for (const { path, access } of methods) {
    const secret = access.webhook?.secret;
    if (!secret) continue;
    const other = known.get(secret);
    if (other) throw new Error(`${path}: ${secret} is the secret of ${other} already: give each webhook its own.`);
    known.set(secret, path);
  }
}

const isSafe = ({ idempotency }: DescMethod) => idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;

function isSet(type: DescMessage | undefined, message: unknown, name: string): boolean {
  const field = type?.fields.find((candidate) => candidate.name === name);
  return !!field && reflect(type!, message as Message).get(field) === true;
}

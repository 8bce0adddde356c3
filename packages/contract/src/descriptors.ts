/**
 * What the contract says about itself: routes, permissions, rules for fields, and the comments. All of it is read from
 * the compiled descriptors (`gen/contract.binpb`), so that none of it is written twice.
 */
import { readFileSync } from 'node:fs';
import {
  createFileRegistry,
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
import { commentsOf } from './comments.ts';

/** One route of `google.api.http`. */
export interface HttpRule {
  method: 'GET' | 'PUT' | 'POST' | 'DELETE' | 'PATCH';
  /** `/v1/orders/{order_id}:cancel` */
  template: string;
  /** Whether everything that is not in the path comes in the body; else it comes in the query. */
  body: boolean;
}

/** Who may call a method: `(caudal.access)`. */
export interface Access {
  /** `orders.orders.place` */
  permission: string;
  /** The request's field that names the owner, as the contract spells it. */
  ownerField?: string;
  /** The handler names the owner. */
  ownerInResource: boolean;
  /** For Caudal's own services only. */
  internal: boolean;
}

/** A method with everything that is declared of it. */
export interface MethodContract {
  /** `/caudal.orders.v1.OrderService/PlaceOrder` */
  path: string;
  /** `caudal.orders.v1.OrderService` */
  service: string;
  /** `PlaceOrder` */
  name: string;
  http: HttpRule[];
  access: Access;
  /** `idempotency_level = NO_SIDE_EFFECTS`: it may be repeated at will. */
  noSideEffects: boolean;
  request: DescMessage;
  response: DescMessage;
}

export interface Contract {
  registry: FileRegistry;
  /** The compiled descriptors themselves, for server reflection. */
  files: FileDescriptorSet;
  /** The method at `/package.Service/Method`. Throws if there is none, or if it does not say who may call it. */
  method(path: string): MethodContract;
  /** Every method of every service, in the contract's order. Throws like `method`. */
  methods(): MethodContract[];
  /** The comment before a message, field, enum, value, service or method; empty if there is none. */
  comment(descriptor: { proto: Message }): string;
  /** `(buf.validate.field)` of a field: a buf.validate.FieldRules. */
  fieldRules(field: DescField): Message | undefined;
  /** `(buf.validate.oneof).required` */
  isRequired(oneof: DescOneof): boolean;
  /** `(caudal.personal)` */
  isPersonal(field: DescField): boolean;
  /** `(caudal.entity)`, or empty. */
  entityOf(message: DescMessage): string;
}

let loaded: Contract | undefined;

/** The contract; read at the first call (60 ms). */
export function contract(): Contract {
  loaded ??= load(readFileSync(new URL('./gen/contract.binpb', import.meta.url)));
  return loaded;
}

/** The contract of these descriptors: a FileDescriptorSet with source info. */
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
  const rules = extension('buf.validate.field');
  const oneof = extension('buf.validate.oneof');
  const personal = extension('caudal.personal');
  const entity = extension('caudal.entity');
  const methods = new Map<string, MethodContract>();

  const method = (path: string): MethodContract => {
    const known = methods.get(path);
    if (known) return known;
    const [, service = '', name = ''] = path.split('/');
    const descriptor = registry.getService(service)?.methods.find((candidate) => candidate.name === name);
    if (!descriptor) throw new Error(`The contract has no method ${path}.`);
    if (!hasOption(descriptor, access))
      throw new Error(`${path} does not say who may call it: give it an option (caudal.access).`);
    const made = {
      path,
      service,
      name,
      http: hasOption(descriptor, http) ? httpRules(path, getOption(descriptor, http) as never) : [],
      access: accessOf(path, getOption(descriptor, access) as never, descriptor.input),
      noSideEffects: isSafe(descriptor),
      request: descriptor.input,
      response: descriptor.output,
    };
    methods.set(path, made);
    return made;
  };

  return {
    registry,
    files,
    method,
    methods: () =>
      [...registry]
        .filter((type) => type.kind === 'service')
        .filter((service) => service.typeName.startsWith('caudal.'))
        .flatMap((service) => service.methods.map(({ name }) => method(`/${service.typeName}/${name}`))),
    comment: (descriptor) => comments.get(descriptor.proto) ?? '',
    fieldRules: (field) => (hasOption(field, rules) ? (getOption(field, rules) as Message) : undefined),
    isRequired: (group) => hasOption(group, oneof) && isSet(oneof.message, getOption(group, oneof), 'required'),
    isPersonal: (field) => hasOption(field, personal) && (getOption(field, personal) as unknown as boolean),
    entityOf: (message) => (hasOption(message, entity) ? (getOption(message, entity) as unknown as string) : ''),
  };
}

const isSafe = ({ idempotency }: DescMethod) => idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;

function isSet(type: DescMessage | undefined, message: unknown, name: string): boolean {
  const field = type?.fields.find((candidate) => candidate.name === name);
  return !!field && reflect(type!, message as Message).get(field) === true;
}

/** A google.api.HttpRule as it is read from the descriptors. */
interface HttpRuleMessage {
  pattern: { case?: string; value?: string };
  body: string;
  responseBody: string;
  additionalBindings: HttpRuleMessage[];
}

const verbs = new Set(['get', 'put', 'post', 'delete', 'patch']);

function httpRules(path: string, rule: HttpRuleMessage): HttpRule[] {
  const { pattern, body, responseBody, additionalBindings } = rule;
  const template = pattern.value ?? '';
  if (!verbs.has(pattern.case ?? '') || !/^(\/[\w.]+|\/\{\w+\})+(:\w+)?$/.test(template))
    throw new Error(`${path}: Caudal does not serve routes like ${pattern.case} "${template}".`);
  if (!['', '*'].includes(body) || responseBody)
    throw new Error(`${path}: a body is "*" or absent, and a response has no response_body.`);
  return [
    { method: pattern.case!.toUpperCase() as HttpRule['method'], template, body: body === '*' },
    ...additionalBindings.flatMap((binding) => httpRules(path, binding)),
  ];
}

/** A caudal.Access as it is read from the descriptors. */
interface AccessMessage {
  permission: string;
  owner: { case?: 'ownerField'; value: string } | { case: 'ownerInResource'; value: boolean };
  internal: boolean;
}

function accessOf(path: string, { permission, owner, internal }: AccessMessage, request: DescMessage): Access {
  if (!/^[a-z]+(\.[a-z_]+){2}$/.test(permission))
    throw new Error(`${path}: a permission is <context>.<resource>.<verb>, not "${permission}".`);
  const ownerField = owner.case === 'ownerField' ? owner.value : undefined;
  if (ownerField !== undefined && !request.fields.some(({ name }) => name === ownerField))
    throw new Error(`${path}: ${request.typeName} has no field "${ownerField}" to name the owner.`);
  return { permission, ownerField, ownerInResource: owner.case === 'ownerInResource' && owner.value, internal };
}

/** Messages of the contract as JSON Schema (2020-12), with the rules of their fields. */
import { type DescEnum, type DescField, type DescMessage, type Message, ScalarType } from '@bufbuild/protobuf';
import { contract } from '@caudal/contract/descriptors.ts';
import { rulesOf, uuid } from '../schema/rules.ts';
import { filledLinePattern, filledLinesPattern, linePattern, linesPattern } from '../schema/texts.ts';

export type Schema = Record<string, unknown>;

/** Collects the schemas of a document under `#/components/schemas`. */
export interface Schemas {
  components: Record<string, Schema>;
  /** A reference to a message's schema. `omit` are fields that are elsewhere in the operation, as path parameters. */
  message(type: DescMessage, omit?: string[]): Schema;
  /** The schema of one field's value. */
  field(field: DescField): Schema;
}

/**
 * `answers` are the messages of answers. These, and the messages in them, may get new fields at any time. All others
 * are closed, as the server refuses unknown fields.
 */
export function collectSchemas(answers: DescMessage[]): Schemas {
  const components: Record<string, Schema> = {};
  const open = withParts(answers);

  const reference = (name: string, make: () => Schema): Schema => {
    if (!(name in components)) {
      components[name] = {};
      components[name] = make();
    }
    return { $ref: `#/components/schemas/${name}` };
  };

  const message = (type: DescMessage, omit: string[] = []): Schema => {
    const known = wellKnown[type.typeName];
    if (known) return known;
    return reference(componentName(type), () => {
      const fields = type.fields.filter(({ name }) => !omit.includes(name));
      const required = fields.filter(isRequired).map(({ jsonName }) => jsonName);
      const choices = type.oneofs.filter((group) => contract().isRequired(group));
      const schemaOf = (field: DescField): Schema => {
        if (isMask(field)) return { ...value(field), examples: [maskable(fields).join(',')] };
        return open.has(type) ? value(field) : closed(field, value(field));
      };
      return {
        type: 'object',
        ...describe(type),
        properties: Object.fromEntries(fields.map((field) => [field.jsonName, described(field, schemaOf(field))])),
        // In an answer, a read mask may remove any field.
        ...(!open.has(type) && {
          ...(required.length > 0 && { required }),
          additionalProperties: false,
          ...(choices.length > 0 && {
            allOf: choices.map((group) => ({
              oneOf: group.fields.map(({ jsonName }) => ({ required: [jsonName] })),
            })),
          }),
        }),
      };
    });
  };

  const enumeration = (type: DescEnum): Schema =>
    reference(componentName(type), () => {
      const lines = type.values.map((entry) => `- \`${entry.name}\`: ${contract().comment(entry)}`);
      return {
        type: 'string',
        enum: type.values.map(({ name }) => name),
        description: [contract().comment(type), ...lines].join('\n'),
      };
    });

  const single = (field: DescField): Schema => {
    if (field.enum) return enumeration(field.enum);
    if (field.message) return rulesOf(field).ignore === 'always' ? unbounded(field.message) : message(field.message);
    return scalars[field.scalar ?? 0] ?? {};
  };

  /** A message whose rules do not count here, as the sum of amounts that are bounded each. */
  const unbounded = (type: DescMessage): Schema => ({
    type: 'object',
    ...describe(type),
    properties: Object.fromEntries(
      type.fields.map((field) => [field.jsonName, { ...single(field), ...describe(field) }]),
    ),
  });

  const value = (field: DescField): Schema => {
    if (field.fieldKind === 'list')
      return { type: 'array', items: { ...single(field), ...itemSchema(field) }, ...ruleSchema(field) };
    if (field.fieldKind === 'map') return { type: 'object', additionalProperties: single(field), ...ruleSchema(field) };
    return { ...single(field), ...ruleSchema(field) };
  };

  const isOpen = ({ message: type }: DescField) => type && !wellKnown[type.typeName] && open.has(type);

  /**
   * What closes a message, and those within it, that are open because answers use them too (an amount, a line). Each has its own reference: a
   * schema that closes sees only what is beside it.
   */
  const closing = (type: DescMessage, within: DescMessage[] = []): Schema => {
    const required = type.fields.filter(isRequired).map(({ jsonName }) => jsonName);
    const inner = type.fields.filter(
      (field) => isOpen(field) && field.fieldKind !== 'map' && ![type, ...within].includes(field.message!),
    );
    const properties = inner.map((field) => {
      const known = { ...message(field.message!), ...closing(field.message!, [type, ...within]) };
      return [field.jsonName, field.fieldKind === 'list' ? { items: known } : known] as const;
    });
    return {
      ...(required.length > 0 && { required }),
      ...(properties.length > 0 && { properties: Object.fromEntries(properties) }),
      unevaluatedProperties: false,
    };
  };

  /** Closes the messages of a field of a request. */
  const closed = (field: DescField, schema: Schema): Schema => {
    if (!isOpen(field)) return schema;
    const known = closing(field.message!);
    return field.fieldKind === 'list'
      ? { ...schema, items: { ...(schema.items as Schema), ...known } }
      : { ...schema, ...known };
  };

  return { components, message, field: value };
}

/** These messages and all messages within them. */
function withParts(types: DescMessage[], found = new Set<DescMessage>()): Set<DescMessage> {
  for (const type of types) {
    if (found.has(type)) continue;
    found.add(type);
    withParts(
      type.fields.flatMap(({ message }) => message ?? []),
      found,
    );
  }
  return found;
}

const isMask = ({ message }: DescField) => message?.typeName === 'google.protobuf.FieldMask';

/** The fields that an update mask may name: the resource's own. */
const maskable = (fields: DescField[]): string[] =>
  fields
    .filter((field) => !isMask(field) && !['request_id', 'etag'].includes(field.name))
    .map(({ jsonName }) => jsonName);

/** `orders.Order` for caudal.orders.v1.Order. */
const componentName = ({ typeName }: { typeName: string }) =>
  typeName.replace(/^caudal\./, '').replace(/\.v\d+\./, '.');

function describe(descriptor: { proto: Message }): Schema {
  const description = contract().comment(descriptor);
  return description ? { description } : {};
}

/** The field's comment, and the bounds that JSON Schema can't express for strings with numbers or durations. */
function described(field: DescField, schema: Schema): Schema {
  const bounds = field.scalar === 3 || isDuration(field) ? boundsOf(field) : '';
  const description = [contract().comment(field), bounds].filter(Boolean).join(' ');
  return description ? { ...schema, description } : schema;
}

function argumentsOf(field: DescField): Record<string, unknown> {
  const found = contract().fieldRules(field) as unknown as
    | { type: { case?: string; value?: Record<string, unknown> } }
    | undefined;
  const value = found?.type.value ?? {};
  const bounds = [value.lessThan, value.greaterThan] as { case?: string; value?: unknown }[];
  return {
    ...value,
    ...Object.fromEntries(bounds.flatMap((bound) => (bound?.case ? [[bound.case, bound.value]] : []))),
  };
}

const isDuration = ({ message }: DescField) => message?.typeName === 'google.protobuf.Duration';

function boundsOf(field: DescField): string {
  const { gte, gt, lte, lt, notIn } = argumentsOf(field);
  const shown = (bound: unknown) => (isDuration(field) ? `${(bound as { seconds: bigint }).seconds}s` : `${bound}`);
  const words = [
    gte !== undefined && `at least ${shown(gte)}`,
    gt !== undefined && `more than ${shown(gt)}`,
    lte !== undefined && `at most ${shown(lte)}`,
    lt !== undefined && `less than ${shown(lt)}`,
    (notIn as bigint[] | undefined)?.length && `not ${notIn}`,
  ].filter(Boolean);
  const text = words.join(', ');
  return text && `${text[0]!.toUpperCase()}${text.slice(1)}.`;
}

/** The rules that JSON Schema can express. */
function ruleSchema(field: DescField): Schema {
  const {
    minLen,
    maxLen,
    pattern,
    minItems,
    maxItems,
    minPairs,
    maxPairs,
    wellKnown: known,
    ...rest
  } = argumentsOf(field);
  const format = (known as { case?: string } | undefined)?.case;
  const empty = rulesOf(field).ignore === 'ifZero';
  const number = (value: unknown) => (value ? Number(value) : undefined);
  // JSON Schema's formats are wider than the rules of the same name, and many validators ignore them.
  const text =
    pattern ??
    (field.scalar === 3
      ? longPattern(rest)
      : (patternOfFormat[format ?? ''] ?? formPattern(field, number(minLen) !== undefined)));
  const schema: Schema = {
    minLength: empty ? undefined : number(minLen),
    maxLength: number(maxLen),
    pattern: text ? (empty ? `^$|${text}` : text) : undefined,
    format: !empty && format === 'uuid' ? format : undefined,
    minItems: number(minItems),
    maxItems: number(maxItems),
    minProperties: number(minPairs),
    maxProperties: number(maxPairs),
    ...(field.scalar === 5 && {
      minimum: Number(rest.gte ?? -(2 ** 31)),
      maximum: Number(rest.lte ?? 2 ** 31 - 1),
    }),
  };
  return Object.fromEntries(Object.entries(schema).filter(([, set]) => set !== undefined));
}

/** The rules of a list's items, of which only texts have some that the item's own schema does not say. */
function itemSchema(field: DescField): Schema {
  const items = argumentsOf(field).items as { type: { case?: string; value?: Record<string, unknown> } } | undefined;
  if (items?.type.case !== 'string') return {};
  const { minLen, maxLen, pattern } = items.type.value ?? {};
  return {
    ...(minLen ? { minLength: Number(minLen) } : {}),
    ...(maxLen ? { maxLength: Number(maxLen) } : {}),
    ...(pattern ? { pattern } : {}),
  };
}

/** Wider than the rule, which knows more of domains and counts bytes: JSON Schema can't say that. */
const emailPattern = '^$|^[^@\\s]+@[^@\\s]+$';

/** The characters that a single text may have. */
function formPattern(field: DescField, filled: boolean): string | undefined {
  if (field.scalar !== ScalarType.STRING || field.fieldKind !== 'scalar') return undefined;
  const form = contract().textForm(field);
  if (form === 'email') return emailPattern;
  if (filled) return form === 'lines' ? filledLinesPattern : filledLinePattern;
  return form === 'lines' ? linesPattern : linePattern;
}

const patternOfFormat: Record<string, string> = { uuid: uuid.source };

/**
 * The pattern of a 64-bit number as a string. It is exact if the bounds are powers of ten, as all in the contract are.
 * Otherwise it accepts numbers slightly over 64 bits.
 */
function longPattern({ gte, lte, notIn }: Record<string, unknown>): string {
  const bound = `${lte ?? ''}`;
  const whole = /^10+$/.test(bound) ? `[1-9][0-9]{0,${bound.length - 2}}|${bound}` : '[1-9][0-9]{0,18}';
  const zero = (notIn as bigint[] | undefined)?.includes(0n) || (gte as bigint) > 0n ? '' : '0|';
  return `^${(gte as bigint) >= 0n ? '' : '-?'}(?:${zero}${whole})$`;
}

/** Whether a request without the field is refused. */
export function isRequired(field: DescField): boolean {
  const { required, ignore, rules } = rulesOf(field);
  if (required || contract().mustBeGiven(field)) return true;
  if (field.oneof || field.proto.proto3Optional || ignore !== 'never' || field.fieldKind === 'message') return false;
  const zero = field.fieldKind === 'list' ? [] : field.fieldKind === 'map' ? {} : zeros[field.scalar ?? 0];
  return zero !== undefined && rules.some((rule) => rule(zero as never) !== undefined);
}

const zeros: Record<number, unknown> = { 3: 0n, 5: 0, 9: '' };

/** By the numbers of google.protobuf.FieldDescriptorProto.Type. */
const scalars: Record<number, Schema> = {
  1: { type: 'number', format: 'double' },
  3: { type: 'string', format: 'int64' },
  5: { type: 'integer', format: 'int32' },
  8: { type: 'boolean' },
  9: { type: 'string' },
  12: { type: 'string', contentEncoding: 'base64' },
};

const wellKnown: Record<string, Schema> = {
  'google.protobuf.Timestamp': { type: 'string', format: 'date-time' },
  'google.protobuf.Duration': {
    type: 'string',
    pattern: '^-?[0-9]{1,12}(?:\\.[0-9]{1,9})?s$',
    examples: ['900s'],
  },
  // The examples depend on the message that the mask is for, so they are added there.
  'google.protobuf.FieldMask': { type: 'string' },
};

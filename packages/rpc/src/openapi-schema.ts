/** Messages of the contract as JSON Schema (2020-12), with the rules that their fields must keep. */
import type { DescEnum, DescField, DescMessage, Message } from '@bufbuild/protobuf';
import { contract } from '@caudal/contract/descriptors.ts';
import { rulesOf } from './rules.ts';

export type Schema = Record<string, unknown>;

/** Gathers the schemas that a document needs under `#/components/schemas`. */
export interface Schemas {
  components: Record<string, Schema>;
  /** A reference to a message's schema. `omit`: fields that this use of it has elsewhere. */
  message(type: DescMessage, omit?: string[]): Schema;
  /** The schema of one field's value. `single`: of a list, the schema of an item. */
  field(field: DescField, single?: boolean): Schema;
}

export function collectSchemas(): Schemas {
  const components: Record<string, Schema> = {};

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
      return {
        type: 'object',
        ...describe(type),
        properties: Object.fromEntries(fields.map((field) => [field.jsonName, described(field, value(field))])),
        ...(required.length > 0 && { required }),
        ...(choices.length > 0 && {
          allOf: choices.map((group) => ({
            oneOf: group.fields.map(({ jsonName }) => ({ required: [jsonName] })),
          })),
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
    if (field.message) return message(field.message);
    return scalars[field.scalar ?? 0] ?? {};
  };

  const value = (field: DescField): Schema => {
    if (field.fieldKind === 'list') return { type: 'array', items: single(field), ...ruleSchema(field) };
    if (field.fieldKind === 'map') return { type: 'object', additionalProperties: single(field), ...ruleSchema(field) };
    return { ...single(field), ...ruleSchema(field) };
  };

  return { components, message, field: (field, one) => (one ? single(field) : value(field)) };
}

/** `orders.Order` for caudal.orders.v1.Order. */
const componentName = ({ typeName }: { typeName: string }) =>
  typeName.replace(/^caudal\./, '').replace(/\.v\d+\./, '.');

function describe(descriptor: { proto: Message }): Schema {
  const description = contract().comment(descriptor);
  return description ? { description } : {};
}

/** The field's comment, and what JSON Schema can't say of strings that are numbers. */
function described(field: DescField, schema: Schema): Schema {
  const bounds = schema.type === 'string' && schema.format === 'int64' ? boundsOf(field) : '';
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

function boundsOf(field: DescField): string {
  const { gte, gt, lte, lt, notIn } = argumentsOf(field) as Record<string, bigint & bigint[]>;
  const words = [
    gte !== undefined && `at least ${gte}`,
    gt !== undefined && `more than ${gt}`,
    lte !== undefined && `at most ${lte}`,
    lt !== undefined && `less than ${lt}`,
    (notIn as unknown as bigint[] | undefined)?.length && `not ${notIn}`,
  ].filter(Boolean);
  const text = words.join(', ');
  return text && `${text[0]!.toUpperCase()}${text.slice(1)}.`;
}

/** The rules as far as JSON Schema has words for them. */
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
  const schema: Schema = {
    minLength: empty ? undefined : number(minLen),
    maxLength: number(maxLen),
    pattern: pattern ? (empty ? `^$|${pattern}` : pattern) : undefined,
    format: !empty && ['uuid', 'email'].includes(format ?? '') ? format : undefined,
    minItems: number(minItems),
    maxItems: number(maxItems),
    minProperties: number(minPairs),
    maxProperties: number(maxPairs),
    ...(field.scalar === 5 && {
      minimum: rest.gte === undefined ? undefined : Number(rest.gte),
      maximum: rest.lte === undefined ? undefined : Number(rest.lte),
    }),
  };
  return Object.fromEntries(Object.entries(schema).filter(([, set]) => set !== undefined));
}

/** Whether a request without the field is refused. */
export function isRequired(field: DescField): boolean {
  const { required, ignore, rules } = rulesOf(field);
  if (required) return true;
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
  'google.protobuf.Duration': { type: 'string', pattern: '^-?\\d+(\\.\\d+)?s$', examples: ['900s'] },
  'google.protobuf.FieldMask': { type: 'string', examples: ['total.currency,createTime'] },
};

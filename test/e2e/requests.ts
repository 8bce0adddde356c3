/**
 * Requests made from the contract: for every method a correct one, and several with one fault each. No method is named
 * here, so a new method is tested without further work.
 */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { rulesOf } from '@caudal/rpc/schema/rules.ts';
import { passedOnTextRules, textRules } from '@caudal/rpc/schema/texts.ts';
import type { Sender } from '@caudal/rpc/schema/validation.ts';
import type { Json } from './api.ts';

/** Ids of existing resources, by the names of the fields that refer to them: `product_id`. */
export type Known = Record<string, string>;

export interface Fault {
  /** The fault: `lines[0].quantity: -1`. */
  title: string;
  request: Json;
  /** The field that the error must name, as the contract spells it. */
  field: string;
  /** Whether protobuf can encode it too: it can't encode a number in place of a string. */
  wellTyped: boolean;
}

/** A request that follows all rules of the contract. */
export function goodRequest({ request, http, noSideEffects }: MethodContract, known: Known): Json {
  const inPath = namesInPath(http[0]?.template);
  // A command on a collection creates a resource: its id, the first id that the request names, must be new.
  const made = inPath.size > 0 || noSideEffects ? undefined : request.fields.find(({ name }) => isId(name));
  return goodMessage(request, { ...known, ...(made && { [made.name]: `new-${newId()}` }) }, inPath);
}

const namesInPath = (template = '') => new Set([...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!));
const isId = (name: string) => name.endsWith('_id') && name !== 'request_id';

/** The request with one fault, for each rule of its fields. The fault follows from the contract alone. */
export function faultsOf(method: MethodContract, known: Known): Fault[] {
  const good = () => goodRequest(method, known);
  const inBody = method.http[0]?.body ?? true;
  const inPath = namesInPath(method.http[0]?.template);
  // Services pass on texts of version 0.2, which had fewer rules.
  const sender: Sender = method.access.authentication === 'SERVICE' ? 'service' : 'caller';
  const faults = method.request.fields.flatMap((field) =>
    fieldFaults(field, known, { inBody, inPath: inPath.has(field.name), sender }).map((fault) => ({
      title: `${fault.field}: ${shown(fault.value)}`,
      request: withValue(good(), field, fault.value),
      field: fault.field,
      wellTyped: fault.wellTyped,
    })),
  );
  for (const oneof of method.request.oneofs.filter((group) => contract().isRequired(group))) {
    const request = good();
    for (const { jsonName } of oneof.fields) delete request[jsonName];
    faults.push({ title: `${oneof.name}: none`, request, field: oneof.name, wellTyped: true });
  }
  const stranger = { ...good(), noSuchField: '1' };
  faults.push({ title: 'an unknown field', request: stranger, field: 'noSuchField', wellTyped: false });
  return faults;
}

interface FieldFault {
  /** Undefined: the field is left out. */
  value: unknown;
  field: string;
  wellTyped: boolean;
}

interface Where {
  inBody: boolean;
  inPath: boolean;
  sender: Sender;
}

function fieldFaults(field: DescField, known: Known, where: Where): FieldFault[] {
  const typed = candidates(field, where.inBody && !where.inPath).filter((value) =>
    breaksRules(field, value, where.sender),
  );
  const faults = typed.map((value) => ({ value: asJson(field, value), field: field.name, wellTyped: true }));
  // Over gRPC, a number that must be given in JSON can't be told from zero.
  if (!where.inPath && isRequired(field))
    faults.push({ value: undefined, field: field.name, wellTyped: !contract().mustBeGiven(field) });
  // In a path, all values are text, so a string can't have the wrong type.
  const mistyped = where.inBody ? wrongInBody(field) : wrongInQuery(field);
  if (!where.inPath) faults.push(...mistyped.map((value) => ({ value, field: field.name, wellTyped: false })));
  if (field.message && where.inBody && !isWellKnown(field.message))
    faults.push(...nestedFaults(field, known, where.sender));
  return faults as FieldFault[];
}

/** The faults of the inner fields, each in an otherwise correct message. */
function nestedFaults(field: DescField, known: Known, sender: Sender): FieldFault[] {
  const type = field.message!;
  const list = field.fieldKind === 'list';
  const good = wholeMessage(type, known);
  const at = `${field.name}${list ? '[0]' : ''}`;
  const wrap = (message: Json) => (list ? [message] : message);
  const faults = type.fields.flatMap((inner) =>
    fieldFaults(inner, known, { inBody: true, inPath: false, sender }).map((fault) => ({
      ...fault,
      value: wrap(withValue(good, inner, fault.value)),
      field: `${at}.${fault.field}`,
    })),
  );
  faults.push({ value: wrap({ ...good, noSuchField: 1 }), field: `${at}.noSuchField`, wellTyped: false });
  for (const oneof of type.oneofs.filter((group) => contract().isRequired(group))) {
    faults.push({ value: wrap({}), field: `${at}.${oneof.name}`, wellTyped: true });
    if (oneof.fields.length > 1) {
      const all = Object.fromEntries(
        oneof.fields.map((member) => [member.jsonName, asJson(member, goodValue(member, known))]),
      );
      faults.push({ value: wrap(all), field: at, wellTyped: false });
    }
  }
  // Requests never have negative money: the contract says so in a comment.
  if (type.typeName === 'caudal.type.v1.Money')
    faults.push({ value: { ...good, minorUnits: '-1' }, field: field.name, wellTyped: true });
  return faults;
}

function withValue(message: Json, field: DescField, value: unknown): Json {
  const changed = { ...message };
  // Two fields of a oneof would be another fault.
  for (const other of field.oneof?.fields ?? []) delete changed[other.jsonName];
  delete changed[field.jsonName];
  return value === undefined ? changed : { ...changed, [field.jsonName]: value };
}

const wholeMessage = (type: DescMessage, known: Known): Json =>
  goodMessage(type, known, new Set(type.fields.map(({ name }) => name)));

function goodMessage(type: DescMessage, known: Known, needed: Set<string>): Json {
  const message: Json = {};
  const chosen = new Set<string>();
  for (const field of type.fields) {
    const group = field.oneof && !field.proto.proto3Optional ? field.oneof : undefined;
    if (group) {
      if (chosen.has(group.name) || !contract().isRequired(group)) continue;
      chosen.add(group.name);
    } else if (!needed.has(field.name) && !isRequired(field) && known[field.name] === undefined) continue;
    message[field.jsonName] = asJson(field, goodValue(field, known));
  }
  return message;
}

function goodValue(field: DescField, known: Known): unknown {
  const single = singleValue(field, known);
  return field.fieldKind === 'list' ? [single] : single;
}

function singleValue(field: DescField, known: Known): unknown {
  if (field.fieldKind === 'map') return {};
  if (field.enum) return field.enum.values[1]!.name;
  if (field.message?.typeName === 'google.protobuf.Timestamp') return '2026-01-31T12:00:00Z';
  if (field.message?.typeName === 'google.protobuf.Duration') return '60s';
  if (field.message?.typeName === 'google.protobuf.FieldMask') return '*';
  if (field.message) return wholeMessage(field.message, known);
  if (field.scalar === 8) return true;
  if (field.scalar === 9) {
    const named = known[field.name];
    return [named, 'GBP', 'GB', 'lamp', newId(), 'a@example.com', 'https://example.com/1'].find(
      (text) => text !== undefined && !breaksRules(field, text),
    );
  }
  return isLong(field) ? 1n : 1;
}

/** Values of the right type that may break a rule. */
function candidates(field: DescField, inBody: boolean): unknown[] {
  // The names of enum values are long, and the length of URLs is bounded.
  if (field.fieldKind === 'list' && field.enum)
    return [[], Array.from({ length: 101 }, () => field.enum!.values[1]!.name), [999]];
  if (field.fieldKind === 'list') return [[], Array.from({ length: 1_001 }, () => 'x')];
  if (field.fieldKind === 'map')
    return [Object.fromEntries(Array.from({ length: 1_001 }, (_, index) => [`k${index}`, 'v']))];
  if (field.message?.typeName === 'google.protobuf.Duration')
    return [
      { seconds: 0n, nanos: 0 },
      { seconds: -1n, nanos: 0 },
      { seconds: 10_000_000n, nanos: 0 },
    ];
  if (field.enum) return [-1, 999];
  if (field.scalar === 9)
    return [
      'a\u0000b',
      ' ',
      'a b',
      '-a',
      '../etc/passwd',
      'ä',
      "a'; DROP TABLE events; --",
      '\n',
      'x'.repeat(70),
      // The length of URLs is bounded.
      'x'.repeat(inBody ? 20_000 : 900),
    ];
  if (isLong(field)) return [-1n, -(2n ** 63n), 2n ** 63n - 1n];
  if (field.scalar === 5) return [-1, 2_147_483_647];
  return [];
}

function breaksRules(field: DescField, value: unknown, sender: Sender = 'caller'): boolean {
  const { ignore, rules } = rulesOf(field);
  if (ignore === 'always') return false;
  if (field.scalar === ScalarType.STRING) {
    const rule = (sender === 'caller' ? textRules : passedOnTextRules)[contract().textForm(field)];
    if ([value].flat().some((text) => typeof text === 'string' && rule(text as never) !== undefined)) return true;
  }
  if (field.enum && field.fieldKind === 'list' && (value as unknown[]).includes(999)) return true;
  if (field.enum && field.fieldKind !== 'list') {
    const isDefined = field.enum.values.some(({ number }) => number === value);
    return rules.length > 0 && !isDefined;
  }
  return rules.some((rule) => rule(value as never) !== undefined);
}

/** Whether leaving it out breaks a rule. */
function isRequired(field: DescField): boolean {
  const { required, ignore } = rulesOf(field);
  if (required || contract().mustBeGiven(field)) return true;
  if (ignore !== 'never' || field.oneof || field.proto.proto3Optional) return false;
  if (field.fieldKind === 'list') return breaksRules(field, []);
  if (field.fieldKind === 'map') return breaksRules(field, {});
  if (field.message || field.enum) return false;
  return breaksRules(field, field.scalar === 9 ? '' : isLong(field) ? 0n : 0);
}

function wrongInBody(field: DescField): unknown[] {
  if (field.fieldKind === 'list') return [{}, 'text', [[]], [7]];
  if (field.fieldKind === 'map') return [[], 'text', { key: 5 }, { key: {} }];
  switch (field.message?.typeName) {
    case undefined:
      break;
    case 'google.protobuf.Timestamp':
      return ['yesterday', 5, '2026-13-45T00:00:00Z'];
    case 'google.protobuf.Duration':
      return ['soon', '60', 60, {}];
    case 'google.protobuf.FieldMask':
      return ['noSuchField', 5, {}];
    default:
      return ['text', [], 7, true];
  }
  if (field.enum) return ['NOPE', {}, 1.5];
  if (field.scalar === 8) return ['yes', 1, {}];
  if (field.scalar === 9) return [12, true, {}, ['a']];
  return ['many', '1.5', 1.5, {}, [], true, '99999999999999999999999'];
}

function wrongInQuery(field: DescField): unknown[] {
  const twice = field.fieldKind === 'list' ? [] : [['1', '1']];
  switch (field.message?.typeName) {
    case undefined:
      break;
    case 'google.protobuf.Timestamp':
      return ['yesterday', '5', '2026-13-45T00:00:00Z'];
    case 'google.protobuf.FieldMask':
      return ['noSuchField', 'no-such_field', 'a..b'];
    default:
      return ['text'];
  }
  if (field.enum) return ['NOPE', '1.5', ...twice];
  if (field.scalar === 8) return ['yes', '1', ...twice];
  if (field.scalar === 9) return twice;
  return ['many', '1.5', '99999999999999999999999', ...twice];
}

function asJson(field: DescField, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map((item) => asJson(field, item));
  if (field.message?.typeName === 'google.protobuf.Duration' && typeof value === 'object')
    return `${(value as { seconds: bigint }).seconds}s`;
  // In a list of messages that is too long, the items are messages.
  if (field.fieldKind === 'list' && field.message && value === 'x') return {};
  return value;
}

const isLong = (field: DescField) => field.scalar === 3;
const isWellKnown = (type: DescMessage) => type.typeName.startsWith('google.protobuf.');

function shown(value: unknown): string {
  return value === undefined ? 'left out' : (JSON.stringify(value) ?? '').slice(0, 60);
}

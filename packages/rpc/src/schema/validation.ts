/**
 * Checks requests against the contract's buf.validate rules and reports all violations together. When the server
 * starts, each message type is compiled to closures over ts-proto's objects.
 *
 * The reference, protovalidate, takes 28 us for a ReserveStock request of two lines, and 4 us more to convert the
 * message. This takes 1 us. The tests compare the two on random messages.
 */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { contract } from '@caudal/contract/descriptors.ts';
import { CaudalError, type FieldViolation } from '@caudal/kernel/errors.ts';
import { hasCardNumber, isSearchedForCards } from './card-numbers.ts';
import { type Fields, oneofPropertyOf, propertyOf } from './field-names.ts';
import { type Rules, rulesOf } from './rules.ts';
import { passedOnTextRules, textRules } from './texts.ts';

/** Throws INVALID_ARGUMENT with every violation. */
export type Validate = (message: unknown) => void;

/** More violations are of no use and do not fit into headers, so the search ends here. */
export const maxViolations = 50;

/** The path to a message within the request, from the inside out. It becomes text only for a violation. */
interface Path {
  parent: Path | undefined;
  step: string | number;
}

type Check = (message: Fields, path: Path | undefined, found: FieldViolation[]) => void;
/** Checks one value; `at` gives its path. */
type ValueCheck = (value: never, at: Path, found: FieldViolation[]) => void;

/**
 * Whose requests are checked. Services pass on what an order or a payment has had since an earlier version, which refused less:
 * its texts are not searched for card numbers, and may have the characters of that version. Else what has begun could never end.
 */
export type Sender = 'caller' | 'service';

/** The check of a message type. Throws if the contract has an unknown rule. */
export function validator(type: DescMessage, sender: Sender = 'caller'): Validate {
  const check = checkOf(type, sender);
  return (message) => {
    const found: FieldViolation[] = [];
    check?.(message as Fields, undefined, found);
    if (found.length > 0) throw invalidRequest(found);
  };
}

/** The error for these violations, or for the first 50 of them. */
export function invalidRequest(found: FieldViolation[], reason = 'INVALID_REQUEST'): CaudalError {
  const violations = found.slice(0, maxViolations);
  const [first] = violations;
  // The search ends at the maximum, so the total is unknown then.
  const count = found.length >= maxViolations ? 'and more' : `and ${found.length - 1} more`;
  const more = found.length > 1 ? ` (${count})` : '';
  return new CaudalError('INVALID_ARGUMENT', reason, `${first!.field} ${first!.description}${more}.`, { violations });
}

const firstTime = Date.parse('0001-01-01T00:00:00.000Z');
const lastTime = Date.parse('9999-12-31T23:59:59.999Z');

const compiledFor: Record<Sender, Map<DescMessage, Check | undefined>> = { caller: new Map(), service: new Map() };

/** Undefined if the message has no rules. */
function checkOf(type: DescMessage, sender: Sender): Check | undefined {
  const compiled = compiledFor[sender];
  if (compiled.has(type)) return compiled.get(type);
  if (type.typeName.startsWith('google.protobuf.')) return undefined;
  let checks: Check[] = [];
  // Set before its fields are compiled, for types that contain themselves.
  compiled.set(type, (message, path, found) => {
    for (const check of checks) check(message, path, found);
  });
  checks = type.members.flatMap((member) => {
    if (member.kind === 'field') return fieldCheck(member, sender) ?? [];
    const members = new Map(member.fields.map((field) => [propertyOf(field), memberCheck(field, sender)]));
    const property = oneofPropertyOf(member);
    const required = contract().isRequired(member);
    if (!required && ![...members.values()].some(Boolean)) return [];
    const names = member.fields.map(({ name }) => name).join(', ');
    return (message: Fields, path: Path | undefined, found: FieldViolation[]) => {
      const chosen = message[property] as { $case: string; value: never } | undefined;
      if (chosen) members.get(chosen.$case)?.(chosen.value, path, found);
      else if (required) add(found, { parent: path, step: member.name }, `must be given: one of ${names}`);
    };
  });
  if (checks.length === 0) compiled.set(type, undefined);
  return compiled.get(type);
}

function add(found: FieldViolation[], path: Path, description: string): void {
  if (found.length < maxViolations) found.push({ field: pathText(path), description });
}

function pathText({ parent, step }: Path): string {
  const before = parent ? pathText(parent) : '';
  if (typeof step === 'number') return `${before}[${step}]`;
  return before ? `${before}.${step}` : step;
}

/** Implicit scalars, lists and maps have no presence, so the rules also hold for their zero value. */
const hasPresence = (field: DescField) =>
  field.fieldKind === 'message' || field.oneof !== undefined || field.proto.proto3Optional;

function isZero(value: unknown): boolean {
  if (value === undefined || value === '' || value === 0 || value === 0n || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  if (value instanceof Uint8Array) return value.length === 0;
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
    ? Object.keys(value).length === 0
    : false;
}

function fieldCheck(field: DescField, sender: Sender): Check | undefined {
  const property = propertyOf(field);
  const check = presentCheck(field, sender);
  const { required, ignore } = rulesOf(field);
  if (ignore === 'always' || (!check && !required)) return undefined;
  const presence = hasPresence(field);
  const skipZero = ignore === 'ifZero';
  return (message, path, found) => {
    const value = message[property];
    if (presence ? value === undefined : (required || skipZero) && isZero(value)) {
      if (required) add(found, { parent: path, step: field.name }, 'must be given');
    } else if (check && !(skipZero && field.fieldKind !== 'message' && isZero(value))) {
      check(value as never, { parent: path, step: field.name }, found);
    }
  };
}

function memberCheck(field: DescField, sender: Sender) {
  const check = presentCheck(field, sender);
  const { ignore } = rulesOf(field);
  if (ignore === 'always' || !check) return undefined;
  return (value: never, path: Path | undefined, found: FieldViolation[]) => {
    if (ignore === 'ifZero' && field.fieldKind !== 'message' && isZero(value)) return;
    check(value, { parent: path, step: field.name }, found);
  };
}

/** The check of a field's value, if the field is present. */
function presentCheck(field: DescField, sender: Sender): ValueCheck | undefined {
  const rules = rulesOf(field);
  const checks: ValueCheck[] = rules.rules.map((rule) => (value, at, found) => {
    const advice = rule(value);
    if (advice) add(found, at, advice);
  });
  const text = textCheck(field, sender);
  if (text) checks.push(text);
  if (field.fieldKind === 'enum' && rules.rules.length > 0) {
    const defined = new Set<number>(field.enum.values.map(({ number }) => number));
    const names = field.enum.values.map(({ name }) => name).join(', ');
    checks.push((value: number, at, found) => {
      if (!defined.has(value)) add(found, at, `must be one of ${names}`);
    });
  }
  if (field.fieldKind === 'message' && field.message.typeName === 'google.protobuf.Timestamp') {
    // Over gRPC its seconds may be beyond every date. These are the bounds of protobuf's Timestamp.
    checks.push((value: Date, at, found) => {
      const time = value.getTime();
      if (!(time >= firstTime && time <= lastTime)) add(found, at, 'must be a time of the years 1 to 9999');
    });
  }
  if (field.message && field.fieldKind === 'message') {
    const nested = checkOf(field.message, sender);
    if (nested) checks.push(nested as ValueCheck);
  }
  if (field.fieldKind === 'list') {
    const nested = field.listKind === 'message' ? checkOf(field.message, sender) : undefined;
    const each = nested ? (nested as ValueCheck) : itemsCheck(rules.items);
    if (each) {
      checks.push((values: never[], at, found) => {
        for (let index = 0; index < values.length; index++) each(values[index]!, { parent: at, step: index }, found);
      });
    }
  }
  if (field.fieldKind === 'map' && field.mapKind === 'message') {
    throw new Error(`${field} is a map of messages, which packages/rpc/src/schema/validation.ts does not support.`);
  }
  const card = sender === 'caller' ? cardCheck(field) : undefined;
  if (checks.length < 2 && !card) return checks[0];
  return (value, at, found) => {
    const before = found.length;
    for (const check of checks) check(value, at, found);
    if (found.length === before) card?.(value, at, found);
  };
}

/** The path may have a card number, too: the key of a map. So it names the field only. */
const cardNumber = 'must not contain a card number; pay with the token of a payment gateway';

/** For fields with texts. U+0000 could not even be stored: PostgreSQL has no place for it, and no view would show it. */
function textCheck(field: DescField, sender: Sender): ValueCheck | undefined {
  if (field.scalar !== ScalarType.STRING) return undefined;
  const rule = (sender === 'caller' ? textRules : passedOnTextRules)[contract().textForm(field)];
  const one = (text: string, at: Path, found: FieldViolation[]) => {
    const advice = rule(text as never);
    if (advice) add(found, at, advice);
  };
  return forTexts(field, one);
}

/** For texts that are not refused for another reason, such as their length. */
function cardCheck(field: DescField): ValueCheck | undefined {
  if (!isSearchedForCards(field)) return undefined;
  return forTexts(field, (text, at, found) => {
    if (hasCardNumber(text)) add(found, at, cardNumber);
  });
}

/** The check of a field by that of its texts. */
function forTexts(field: DescField, one: (text: string, at: Path, found: FieldViolation[]) => void): ValueCheck {
  if (field.fieldKind === 'scalar') return one;
  if (field.fieldKind === 'list') {
    return (items: string[], at, found) => {
      for (let index = 0; index < items.length; index++) one(items[index]!, { parent: at, step: index }, found);
    };
  }
  return (map: Record<string, string>, at, found) => {
    for (const texts of Object.entries(map)) for (const text of texts) one(text, at, found);
  };
}

function itemsCheck(items: Rules | undefined): ValueCheck | undefined {
  if (!items) return undefined;
  return (value, at, found) => {
    if (items.ignore === 'ifZero' && isZero(value)) return;
    for (const rule of items.rules) {
      const advice = rule(value);
      if (advice) add(found, at, advice);
    }
  };
}

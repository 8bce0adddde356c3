/**
 * What a request may hold at most, to be known before it is converted: the sizes of the contract, compiled for each message, and
 * general ones where the contract has none. docs/limits.md lists them. Work on a request that keeps them takes milliseconds.
 */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { sizesOf } from './rules.ts';
import { invalidRequest } from './validation.ts';

/** Of a list or a map without a rule. */
export const maxItems = 1_000;
/** Of a text without a rule, if its method has no bound of its own. */
export const maxTextBytes = 16 * 1024;
/** Messages within messages. The contract itself has four. */
export const maxDepth = 16;
/** Scalars, messages and lists of a request, all together. A thousand traces have 24,000 over gRPC. */
export const maxValues = 25_000;
/** Of a field mask. */
export const maxPaths = 200;
const maxPathCharacters = 200;
const pathAdvice = `must have at most ${maxPathCharacters} characters`;

/** How a field is measured. */
export interface FieldBounds {
  field: DescField;
  /** The path step, as the contract spells it. */
  name: string;
  /** The most items; undefined if the field is no list or map. */
  items: number | undefined;
  /** The most characters of its text or texts by the contract; undefined: there is no rule. */
  characters: number | undefined;
  /** What to change about a longer text. */
  advice: string | undefined;
  /** `text`: also bytes and masks. `short`: numbers, booleans, enums, times. */
  kind: 'text' | 'short' | 'message';
  /** The type of a message or of a list's messages, and of a map's entries. */
  type: TypeBounds | undefined;
  isMap: boolean;
  /** The nanoseconds of a time or duration, which are less than a second. Decoders read others, and carry them over. */
  isNanos: boolean;
}

/** The fields of a message, by number and by both of their names. */
export interface TypeBounds {
  name: string;
  byNumber: ReadonlyMap<number, FieldBounds>;
  byName: ReadonlyMap<string, FieldBounds>;
}

const compiled = new Map<DescMessage, TypeBounds>();

/** The bounds of a message and of those within it. */
export function boundsOf(type: DescMessage): TypeBounds {
  const known = compiled.get(type);
  if (known) return known;
  const byNumber = new Map<number, FieldBounds>();
  const byName = new Map<string, FieldBounds>();
  const bounds: TypeBounds = { name: type.name, byNumber, byName };
  // Set before its fields are compiled, for types that contain themselves.
  compiled.set(type, bounds);
  for (const field of type.fields) {
    const of = fieldBounds(field);
    byNumber.set(field.number, of);
    byName.set(field.name, of).set(field.jsonName, of);
  }
  return bounds;
}

const maskName = 'google.protobuf.FieldMask';
const withNanos = new Set(['google.protobuf.Timestamp', 'google.protobuf.Duration']);

function fieldBounds(field: DescField): FieldBounds {
  const isNanos = field.name === 'nanos' && withNanos.has(field.parent.typeName);
  const of = { field, name: field.name, isMap: field.fieldKind === 'map', isNanos };
  if (field.parent.typeName === maskName)
    return { ...of, items: maxPaths, characters: maxPathCharacters, advice: pathAdvice, kind: 'text', type: undefined };
  const { characters, advice, items = maxItems } = sizesOf(field);
  const several = field.fieldKind === 'list' || field.fieldKind === 'map' ? items : undefined;
  const message = field.fieldKind === 'map' ? undefined : field.message;
  if (message) return { ...of, items: several, characters, advice, kind: 'message', type: boundsOf(message) };
  const isText = field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES;
  return { ...of, items: several, characters, advice, kind: isText ? 'text' : 'short', type: undefined };
}

/** Whether a message's JSON is a single text: a time, a duration, a mask. */
export const isTextInJson = ({ field }: FieldBounds): boolean =>
  field.message?.typeName.startsWith('google.protobuf.') ?? false;

/** The most characters of a mask as JSON: its paths with commas between them. */
export const maxMaskCharacters = maxPaths * (maxPathCharacters + 1);

/** The way to the value that is measured: names and places in lists. */
export type Steps = (string | number)[];

/** The path of a value: `lines[2].quantity`. Texts of the caller in it are shortened. */
export function pathOf(steps: Steps): string {
  let path = '';
  for (const step of steps) {
    if (typeof step === 'number') path += `[${step}]`;
    else path += path === '' ? step.slice(0, 100) : `.${step.slice(0, 100)}`;
  }
  return path || 'body';
}

/** The error for a bound of the contract. It is the one that the field's rule gives to what is only slightly too much. */
export function overRule(steps: Steps, { items, advice, isMap }: FieldBounds): CaudalError {
  const isOne = items === undefined || typeof steps.at(-1) === 'number';
  const most = `must have at most ${items} ${isMap ? 'entries' : 'items'}`;
  return invalidRequest([{ field: pathOf(steps), description: (isOne && advice) || most }]);
}

/** The error for a text without a rule. */
export const overText = (steps: Steps, bytes: number): CaudalError =>
  overBound(steps, `must have at most ${bytes} bytes`);

/** The error for a general bound. */
export const overBound = (steps: Steps, description: string): CaudalError =>
  invalidRequest([{ field: pathOf(steps), description }], 'MALFORMED_REQUEST');

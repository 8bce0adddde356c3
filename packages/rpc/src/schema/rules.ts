/**
 * The standard rules of buf.validate that the contract uses, each as a function of one value. An unknown rule is
 * refused when the server starts, so that no rule is ignored.
 */
import type { DescField, DescMessage, Message } from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import { contract } from '@caudal/contract/descriptors.ts';
import { longestMatch } from './pattern-length.ts';

/** Returns what to change about a value ("must be at least 1"); undefined if it keeps the rule. */
export type Rule = (value: never) => string | undefined;

/** The parts of a buf.validate.FieldRules that are supported here. */
interface FieldRules {
  required?: boolean;
  ignore?: number;
  type: { case?: string; value?: Message };
}

/** The rules of a field. */
export interface Rules {
  required: boolean;
  /** `always`: no rule applies. `ifZero`: no rule applies to an empty value. */
  ignore: 'never' | 'ifZero' | 'always';
  rules: Rule[];
  /** For lists: the rules of each item. */
  items: Rules | undefined;
}

const none: Rules = { required: false, ignore: 'never', rules: [], items: undefined };
const ignores = ['never', 'ifZero', undefined, 'always'] as const;

/** The rules of a field. Throws if one of them is not supported here. */
export function rulesOf(field: DescField): Rules {
  const found = contract().fieldRules(field);
  return found ? read(found as unknown as FieldRules & Message, String(field)) : none;
}

function read(found: FieldRules & Message, where: string): Rules {
  for (const name of namesSet(found)) {
    if (!['required', 'ignore', found.type.case].includes(name)) throw unknownRule(where, name);
  }
  const ignore = ignores[found.ignore ?? 0];
  if (!ignore) throw unknownRule(where, `ignore = ${found.ignore}`);
  const { case: kind, value } = found.type;
  const rules: Rule[] = [];
  let items: Rules | undefined;
  if (kind && value) {
    const values = setValues(value);
    for (const [name, argument] of values) {
      if (kind === 'repeated' && name === 'items') items = read(argument as FieldRules & Message, where);
      else {
        const make = makers[kind]?.[name];
        if (!make) throw unknownRule(where, `${kind}.${name}`);
        rules.push(make(argument as never));
      }
    }
  }
  return { required: found.required ?? false, ignore, rules, items };
}

/** What the contract says about the size of a field. */
export interface Sizes {
  /** The most characters of a text, or of each text of a list; and what to change about a longer one. */
  characters?: number | undefined;
  advice?: string | undefined;
  /** The most items of a list, or entries of a map. */
  items?: number | undefined;
}

/** The sizes that the rules of a field allow; those without a rule are undefined. */
export function sizesOf(field: DescField): Sizes {
  const found = contract().fieldRules(field);
  return found ? sizes(found as unknown as FieldRules) : {};
}

const argumentsOf = (rules: FieldRules | undefined) => new Map(rules?.type.value ? setValues(rules.type.value) : []);

function sizes(rules: FieldRules): Sizes {
  const set = argumentsOf(rules);
  const number = (name: string) => (set.has(name) ? Number(set.get(name)) : undefined);
  const items = set.get('items') as FieldRules | undefined;
  return { ...(items ? sizes(items) : textSize(set, number)), items: number('maxItems') ?? number('maxPairs') };
}

function textSize(set: Map<string, unknown>, number: (name: string) => number | undefined): Sizes {
  const most = number('maxLen');
  if (most !== undefined) return { characters: most, advice: `must have at most ${most} characters` };
  if (set.get('uuid') === true) return { characters: 36, advice: uuidAdvice };
  const pattern = set.get('pattern') as string | undefined;
  return pattern ? { characters: longestMatch(pattern), advice: `must match ${pattern}` } : {};
}

const unknownRule = (where: string, rule: string) =>
  new Error(`${where} has the rule "${rule}", which packages/rpc/src/schema/rules.ts does not support.`);

function descriptor(message: Message): DescMessage {
  return contract().registry.getMessage(message.$typeName)!;
}

/** The names of the fields that are set. For a oneof, the name of its member. */
function namesSet(message: Message): string[] {
  const view = reflect(descriptor(message), message);
  return view.fields.filter((field) => view.isSet(field)).map((field) => field.localName);
}

/** The rules that are set, by name, with their arguments as plain values. */
function setValues(message: Message): [string, unknown][] {
  const view = reflect(descriptor(message), message);
  return view.fields
    .filter((field) => view.isSet(field))
    .map((field) => {
      const value = view.get(field);
      if (field.fieldKind === 'list') return [field.localName, [...(value as Iterable<unknown>)]];
      if (field.fieldKind === 'message') return [field.localName, (value as { message: unknown }).message];
      return [field.localName, value];
    });
}

type Maker = (argument: never) => Rule;

const check =
  <T>(holds: (value: T) => boolean, advice: string): Rule =>
  (value: T) =>
    holds(value) ? undefined : advice;

const numbers: Record<string, Maker> = {
  gt: (bound: bigint) => check((value: bigint) => value > bound, `must be greater than ${bound}`),
  gte: (bound: bigint) => check((value: bigint) => value >= bound, `must be at least ${bound}`),
  lt: (bound: bigint) => check((value: bigint) => value < bound, `must be less than ${bound}`),
  lte: (bound: bigint) => check((value: bigint) => value <= bound, `must be at most ${bound}`),
  in: (list: bigint[]) => check((value: bigint) => list.includes(value), `must be one of ${list.join(', ')}`),
  notIn: (list: bigint[]) => check((value: bigint) => !list.includes(value), `must not be ${list.join(' or ')}`),
};

interface Span {
  seconds: bigint;
  nanos: number;
}
const nanosOf = ({ seconds, nanos }: Span) => seconds * 1_000_000_000n + BigInt(nanos);
const spanText = (span: Span) => `${Number(nanosOf(span)) / 1e9}s`;
const spanRule = (holds: (value: bigint, bound: bigint) => boolean, words: string) => (bound: Span) => {
  const nanos = nanosOf(bound);
  return check((value: Span) => holds(nanosOf(value), nanos), `must be ${words} ${spanText(bound)}`);
};

/** Counts characters and not UTF-16 units, but only if the units do not decide. */
const isShorter = (text: string, bound: number) =>
  text.length < bound || (text.length < bound * 2 && [...text].length < bound);

const uuidAdvice = 'must be a UUID, like 0190d6f0-1c5e-7b3a-9f00-5d2c8a4be101';
export const uuid = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/;

const makers: Record<string, Record<string, Maker>> = {
  string: {
    // A text that must be there says something: blanks are not enough.
    minLen: (bound: bigint) => (value: string) => {
      if (isShorter(value, Number(bound)))
        return bound === 1n ? 'must not be empty' : `must have at least ${bound} characters`;
      return value.trim() === '' ? 'must not be blank' : undefined;
    },
    maxLen: (bound: bigint) =>
      check((value: string) => isShorter(value, Number(bound) + 1), `must have at most ${bound} characters`),
    pattern: (source: string) => {
      const pattern = new RegExp(source, 'u');
      return check((value: string) => pattern.test(value), `must match ${source}`);
    },
    uuid: () => check((value: string) => uuid.test(value), uuidAdvice),
    in: (list: string[]) => check((value: string) => list.includes(value), `must be one of ${list.join(', ')}`),
  },
  int32: numbers,
  int64: numbers,
  enum: {
    // Needs the field's type, so it is checked in validation.ts.
    definedOnly: () => () => undefined,
  },
  repeated: {
    minItems: (bound: bigint) =>
      check(
        (value: unknown[]) => value.length >= Number(bound),
        `must have at least ${bound} item${bound === 1n ? '' : 's'}`,
      ),
    maxItems: (bound: bigint) =>
      check((value: unknown[]) => value.length <= Number(bound), `must have at most ${bound} items`),
  },
  map: {
    minPairs: (bound: bigint) =>
      check((value: object) => Object.keys(value).length >= Number(bound), `must have at least ${bound} entries`),
    maxPairs: (bound: bigint) =>
      check((value: object) => Object.keys(value).length <= Number(bound), `must have at most ${bound} entries`),
  },
  duration: {
    gt: spanRule((value, bound) => value > bound, 'longer than'),
    gte: spanRule((value, bound) => value >= bound, 'at least'),
    lt: spanRule((value, bound) => value < bound, 'shorter than'),
    lte: spanRule((value, bound) => value <= bound, 'at most'),
  },
};

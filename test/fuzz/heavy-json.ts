/** Bodies of REST that are as much work as possible for their size: each kind of excess, in each place that a type has for it. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { boundsOf, type FieldBounds } from '@caudal/rpc/schema/bounds.ts';
import { filled, type Heavy, largestJson, placesOf } from './heavy.ts';

/** All kinds for a message, each of about this many bytes. */
export function heavyJson(type: DescMessage, size: number): Heavy[] {
  const bodies: Heavy[] = [];
  const add = (kind: string, text: string | Buffer) => {
    const bytes = Buffer.isBuffer(text) ? text : Buffer.from(text);
    bodies.push({ kind, bytes: bytes.subarray(0, size) });
  };
  /** One object whose value in this place is filled with this text. */
  const at = (place: DescField[], before: string, filling: string, after: string) => {
    const [open, close] = wrapped(place);
    return `${open}${before}${filled(filling, size - open.length - close.length - before.length - after.length)}${after}${close}`;
  };

  for (const blank of [' ', '\n\t']) {
    add('blanks before', `${filled(blank, size - 2)}{}`);
    add('blanks within', `{${filled(blank, size - 2)}}`);
    add('blanks behind', `{}${filled(blank, size - 2)}`);
  }
  add('nothing but digits', filled('7', size));
  add('a list of empty lists', `[${filled('[],', size - 4)}[]]`);
  for (const [kind, filling, after] of [
    ['lists in lists', '[', ''],
    ['objects in objects', '{"a":', ''],
    ['closed lists in lists', '', ''],
  ] as const) {
    const half = (size - 10) >> 1;
    add(
      kind,
      filling === '' ? `{"a":${'['.repeat(half)}${']'.repeat(half)}}` : `{"a":${filled(filling, size - 6)}${after}`,
    );
  }
  add('unknown keys', `{${numbered((n) => `"k${n}":0,`, size - 12)}"z":0}`);
  add('the same key', `{${filled('"a":0,', size - 8)}"a":0}`);
  add('keys with escapes', `{${numbered((n) => `"\\u006b${n}":0,`, size - 12)}"z":0}`);
  add(
    'an unknown object of long keys',
    `{"zz":{${numbered((n) => `"\\u006b${'k'.repeat(380)}${n}":0,`, size - 400)}"z":0}}`,
  );
  add('a long key', `{"${filled('k', size - 6)}":0}`);
  add('a long key with escapes', `{"${filled('\\u006b', size - 6)}":0}`);
  add('an unknown object of many keys', `{"zz":{${numbered((n) => `"k${n}":0,`, size - 16)}"z":0}}`);
  add('an unknown list of many items', `{"zz":[${filled('0,', size - 10)}0]}`);
  add(
    'not UTF-8 at the end',
    Buffer.concat([Buffer.from(`${filled(' ', size - 8)}{"a":"`), Buffer.of(0xff), Buffer.from('"}')]),
  );

  for (const place of placesOf(type)) {
    const field = place.at(-1)!;
    const of = boundsOf(field.parent).byNumber.get(field.number)!;
    const name = place.map(({ jsonName }) => jsonName).join('.');
    for (const [kind, filling] of texts) add(`${kind} in ${name}`, at(place, ...value(of, '"', filling, '"')));
    add(`digits in ${name}`, at(place, ...value(of, '', '7', '')));
    add(`keys in ${name}`, at(place, '{', '"k":0,', '"l":0}'));
    if (of.items === undefined) continue;
    for (const item of ['{}', '[]', '""', '0', 'null', '"7"', '[[]]', '{"k":[]}'])
      add(`items ${item} in ${name}`, at(place, '[', `${item},`, `${item}]`));
    add(`entries in ${name}`, at(place, '{', '"k":"v",', '"l":"v"}'));
    const [open, close] = wrapped(place);
    add(
      `different entries in ${name}`,
      `${open}{${numbered((n) => `"k${n}":"v",`, size - open.length - close.length - 12)}"z":"v"}${close}`,
    );
  }

  const whole = largestJson(type);
  add('the largest valid one', JSON.stringify(whole));
  add('the largest valid one, indented', JSON.stringify(whole, undefined, 10));
  add('the largest valid one, all escaped', escaped(JSON.stringify(whole)));
  for (const [kind, wrong] of [
    ['a wrong type', { wrong: true }],
    ['a wrong number', '0x10'],
  ] as const) {
    add(`the largest, with ${kind} at the end of each list`, JSON.stringify(lastReplaced(whole, wrong)));
    add(`the largest, with ${kind} in each item`, JSON.stringify(eachReplaced(whole, wrong)));
  }
  add('the largest, not closed', JSON.stringify(whole).slice(0, -1));
  return bodies;
}

const texts: [string, string][] = [
  ['ASCII', 'x'],
  ['two bytes a character', 'é'],
  ['four bytes a character', '\u{1f600}'],
  ['escapes', '\\u0061'],
  ['escaped pairs', '\\ud83d\\ude00'],
  ['escaped quotes', '\\"'],
  ['names in a mask', 'a,'],
  ['dots in a mask', '.'],
  ['blanks', ' '],
  ['an address', 'a@'],
];

function value(of: FieldBounds, before: string, filling: string, after: string): [string, string, string] {
  return of.items === undefined ? [before, filling, after] : [`[${before}`, filling, `${after}]`];
}

/** The object around a value in this place. */
function wrapped(place: DescField[]): [string, string] {
  let [open, close] = ['', ''];
  for (const [level, field] of place.entries()) {
    open += `{"${field.jsonName}":`;
    close = `}${close}`;
    const isList = field.fieldKind === 'list' && level < place.length - 1;
    if (isList) [open, close] = [`${open}[`, `]${close}`];
  }
  return [open, close];
}

function numbered(make: (n: number) => string, size: number): string {
  const parts: string[] = [];
  let length = 0;
  for (let n = 0; length < size; n++) {
    const part = make(n);
    parts.push(part);
    length += part.length;
  }
  return parts.join('');
}

/** Every letter within texts as an escape. */
const escaped = (json: string) =>
  json.replace(/"(?:[^"\\]|\\.)*"/g, (text) =>
    text.replace(/[a-zA-Z]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );

function lastReplaced(json: unknown, wrong: unknown): unknown {
  if (Array.isArray(json)) return [...json.slice(0, -1), replacedWithin(json.at(-1), wrong)];
  if (typeof json !== 'object' || json === null) return json;
  return Object.fromEntries(Object.entries(json).map(([key, inner]) => [key, lastReplaced(inner, wrong)]));
}

function eachReplaced(json: unknown, wrong: unknown): unknown {
  if (Array.isArray(json)) return json.map((item) => replacedWithin(item, wrong));
  if (typeof json !== 'object' || json === null) return json;
  return Object.fromEntries(Object.entries(json).map(([key, inner]) => [key, eachReplaced(inner, wrong)]));
}

function replacedWithin(item: unknown, wrong: unknown): unknown {
  if (typeof item !== 'object' || item === null) return wrong;
  const keys = Object.keys(item);
  return { ...item, [keys.at(-1)!]: wrong };
}

/** Bodies of REST that are as much work as possible for their size: each kind of excess, in each place that a type has for it. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { composed, filled, type Heavy, largestJson, numbered, type Part, placesOf } from './heavy.ts';

const key = (n: number) => `"k${n}":0,`;
const longKey = (n: number) => `"\\u006b${'k'.repeat(380)}${n}":0,`;

/** All kinds for a message, each of at most this many bytes. */
export function* heavyJson(type: DescMessage, size: number): Generator<Heavy> {
  yield* ofAnyType(size);
  for (const { path, of } of placesOf(type)) {
    const name = path.map(({ jsonName }) => jsonName).join('.');
    const [open, close] = wrapped(path);
    /** An object whose value in this place is filled with this. */
    const at = (kind: string, before: string, filling: string | Buffer, after: string): Heavy => {
      const room = size - open.length - close.length - before.length - after.length;
      const inner = typeof filling === 'string' ? filled(filling, room) : filling.subarray(0, room);
      return { kind: `${kind} in ${name}`, bytes: composed(size, open, before, inner, after, close) };
    };
    const [first, last] = of.items === undefined || of.isMap ? ['', ''] : ['[', ']'];
    for (const [kind, filling] of texts) yield at(kind, `${first}"`, filling, `"${last}`);
    yield at('digits', first, '7', last);
    yield at('keys', '{', '"k":0,', '"l":0}');
    yield at('different keys', '{', numbered('keys', key, size), '"z":0}');
    if (of.items === undefined) continue;
    for (const item of ['{}', '[]', '""', 'null', '"7"', '{"k":[]}'])
      yield at(`items ${item}`, '[', `${item},`, `${item}]`);
    yield at(
      'entries',
      '{',
      numbered('entries', (n) => `"k${n}":"v",`, size),
      '"z":"v"}',
    );
  }
  yield* aroundLargest(type, size);
}

const texts: [string, string][] = [
  ['ASCII', 'x'],
  ['four bytes a character', '\u{1f600}'],
  ['escaped pairs', '\\ud83d\\ude00'],
  ['escaped quotes', '\\"'],
  ['names in a mask', 'a,'],
  ['dots in a mask', '.'],
];

function* ofAnyType(size: number): Generator<Heavy> {
  const body = (kind: string, before: string, filling: Part, after: string): Heavy => ({
    kind,
    bytes: composed(size, before, shortened(filling, size - before.length - after.length), after),
  });
  for (const blank of [' ', '\n\t']) {
    yield body('blanks before', '', filled(blank, size), '{}');
    yield body('blanks within', '{', filled(blank, size), '}');
    yield body('blanks behind', '{}', filled(blank, size), '');
  }
  yield body('nothing but digits', '', filled('7', size), '');
  yield body('a list of empty lists', '[', filled('[],', size - 4), '[]]');
  yield body('lists in lists', '{"a":', filled('[', size), '');
  yield body('objects in objects', '', filled('{"a":', size), '');
  yield body('unknown keys', '{', numbered('keys', key, size), '"z":0}');
  yield body('the same key', '{', filled('"a":0,', size), '"a":0}');
  yield body(
    'keys with escapes',
    '{',
    numbered('escapes', (n) => `"\\u006b${n}":0,`, size),
    '"z":0}',
  );
  yield body('a long key', '{"', filled('k', size), '":0}');
  yield body('a long key with escapes', '{"', filled('\\u006b', size), '":0}');
  yield body('an unknown object of many keys', '{"zz":{', numbered('keys', key, size), '"z":0}}');
  yield body('an unknown object of long keys', '{"zz":{', numbered('long keys', longKey, size), '"z":0}}');
  yield body('an unknown list of many items', '{"zz":[', filled('0,', size - 10), '0]}');
  yield { kind: 'not UTF-8 at the end', bytes: composed(size, filled(' ', size - 9), '{"a":"', Buffer.of(0xff), '"}') };
}

function* aroundLargest(type: DescMessage, size: number): Generator<Heavy> {
  const whole = largestJson(type);
  const text = JSON.stringify(whole);
  const body = (kind: string, made: string): Heavy => ({ kind, bytes: Buffer.from(made).subarray(0, size) });
  yield body('the largest valid one', text);
  yield body('the largest valid one, indented', JSON.stringify(whole, undefined, 10));
  yield body('the largest valid one, all escaped', escaped(text));
  yield body('the largest, not closed', text.slice(0, -1));
  const blanks = filled(' ', Math.max(0, Math.min(2 ** 20, size - Buffer.byteLength(text))));
  yield { kind: 'the largest valid one, with blanks', bytes: composed(size, blanks, text) };
  for (const [kind, wrong] of [
    ['a wrong type', { wrong: true }],
    ['a wrong number', '0x10'],
  ] as const) {
    const last = (list: unknown[]) => [...list.slice(0, -1), replacedWithin(list.at(-1), wrong)];
    const each = (list: unknown[]) => list.map((item) => replacedWithin(item, wrong));
    yield body(`the largest, with ${kind} at the end of each list`, JSON.stringify(changed(whole, last)));
    yield body(`the largest, with ${kind} in each item`, JSON.stringify(changed(whole, each)));
  }
}

/** At most so many bytes of a part, and of a filling whole units. */
function shortened(part: Part, size: number): Part {
  if (typeof part === 'string' || part.length <= size) return part;
  return Buffer.isBuffer(part) ? part.subarray(0, size) : filled(part.unit, size);
}

/** The object around a value in this place. */
function wrapped(path: DescField[]): [string, string] {
  let [open, close] = ['', ''];
  for (const [level, { jsonName, fieldKind }] of path.entries()) {
    const isList = fieldKind === 'list' && level < path.length - 1;
    open += `{"${jsonName}":${isList ? '[' : ''}`;
    close = `${isList ? ']' : ''}}${close}`;
  }
  return [open, close];
}

/** Every letter within texts as an escape. */
const escaped = (json: string) =>
  json.replace(/"(?:[^"\\]|\\.)*"/g, (text) =>
    text.replace(/[a-zA-Z]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );

/** The document with its lists changed. */
function changed(json: unknown, change: (list: unknown[]) => unknown[]): unknown {
  if (Array.isArray(json)) return change(json);
  if (typeof json !== 'object' || json === null) return json;
  return Object.fromEntries(Object.entries(json).map(([name, inner]) => [name, changed(inner, change)]));
}

function replacedWithin(item: unknown, wrong: unknown): unknown {
  if (typeof item !== 'object' || item === null) return wrong;
  return { ...item, [Object.keys(item).at(-1)!]: wrong };
}

/**
 * How a state is written down: in the structured clone format of node:v8, in which bigint, Date, Map and Set survive, but
 * piece by piece, so that others can have their turn in between. It takes 40 ms to write 100,000 remembered ids, and they
 * need not be written in one go, since states are never changed in place.
 *
 * The outer containers are taken apart, which is enough for what grows large (the upper levels of a trie, see kernel's
 * memory.ts); what they hold is written whole. Each node is a byte that says what it is, a length, and what belongs to it:
 *
 *   list     so many elements, each a node
 *   record   an encoded list of so many bytes with the keys, then a node a key
 *   whole    an encoded value of so many bytes
 *
 * Rejected: a codec of each aggregate. Most of the time goes into looking at each remembered thing, not into writing it.
 * One serializer for all pieces. After each garbage collection it has to find out anew where all that it has seen has gone.
 */
import { deserialize, serialize } from 'node:v8';

const list = 1;
const record = 2;
const whole = 3;
/** What node:v8 begins with. Snapshots were written by it alone before. */
const v8Header = 0xff;

/** How deep records and lists are taken apart, and the longest that are. */
const recordLevels = 2;
const listLevels = 7;
const widest = 64;

/** The state in pieces. Concatenated they are what `decodeState` reads. Throws if it holds what can't be cloned. */
export function* encodeState(state: unknown, level = 0): Iterable<Buffer> {
  if (level < listLevels && isListOfObjects(state)) {
    yield node(list, state.length);
    for (const element of state) yield* encodeState(element, level + 1);
  } else if (level < recordLevels && isRecord(state)) {
    const keys = serialize(Object.keys(state));
    yield node(record, keys.length, keys);
    for (const value of Object.values(state)) yield* encodeState(value, level + 1);
  } else {
    const data = serialize(state);
    yield node(whole, data.length, data);
  }
}

/** The state. Throws if the data can't be read. */
export function decodeState(data: Uint8Array): unknown {
  if (data[0] === v8Header) return deserialize(data);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let at = 0;

  function value(bytes: number): unknown {
    const encoded = data.subarray(at, at + bytes);
    if (encoded.length < bytes) throw new RangeError('The end of the state is missing.');
    at += bytes;
    return deserialize(encoded);
  }

  function next(): unknown {
    const kind = view.getUint8(at);
    const length = view.getUint32(at + 1);
    at += 5;
    if (kind === list) return Array.from({ length }, next);
    if (kind === whole) return value(length);
    if (kind !== record) throw new TypeError(`There is no kind ${kind} of node.`);
    return Object.fromEntries((value(length) as string[]).map((key) => [key, next()]));
  }

  return next();
}

function node(kind: number, length: number, content?: Buffer): Buffer {
  const head = Buffer.allocUnsafe(5);
  head.writeUInt8(kind);
  head.writeUInt32BE(length, 1);
  return content ? Buffer.concat([head, content]) : head;
}

function isListOfObjects(value: unknown): value is object[] {
  return Array.isArray(value) && value.length <= widest && typeof value[0] === 'object';
}

function isRecord(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  return Object.getPrototypeOf(value) === Object.prototype && Object.keys(value).length <= widest;
}

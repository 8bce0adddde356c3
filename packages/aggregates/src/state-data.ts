/**
 * The format of a snapshot's state: a tree of nodes, encoded piece by piece (see README, The format of a snapshot). A
 * node is a byte with its kind, a length of four bytes, and its content:
 *
 *   list     `length` elements, each a node
 *   record   the encoded list of the keys, in `length` bytes, then a node for each key
 *   whole    an encoded value, in `length` bytes
 */
import { deserialize, serialize } from 'node:v8';

const list = 1;
const record = 2;
const whole = 3;
/** The first byte of data that `node:v8` has encoded. Older snapshots are such data as a whole. */
const v8Header = 0xff;

/** How deep records and lists are taken apart. */
const recordLevels = 3;
const listLevels = 8;
/** Longer records and lists are encoded whole. */
const widest = 64;

/** The state in pieces; `decodeState` reads their concatenation. Throws if it holds a value that can't be cloned. */
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

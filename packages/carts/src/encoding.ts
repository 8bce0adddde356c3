/**
 * Carts as bytes: the same bytes for the same cart on every machine. All numbers are whole and written in groups of 7 bits; devices are
 * UUIDs, written once. Decoding checks every length before it reserves anything: the bytes may come from anyone.
 */
import { type Cart, type Entry, emptyCart, type Line } from './cart.ts';
import { type Field, strategies } from './fields.ts';
import { itemOf, maxKeyLength } from './line-key.ts';
import { compareTexts, isCount } from './stamp.ts';

/** The most bytes of a cart or of what has changed in it. */
export const maxBytes = 256 * 1024;
/** The most bytes of a field's state, as JSON. */
export const maxFieldLength = 64 * 1024;
export const maxFields = 20;
const maxDevices = 256;
const maxLines = 3_000;
/** Of all lines together: reading and merging as many takes some milliseconds. */
const maxEntries = 16_000;
const format = 1;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** The greatest number that may be below zero: its sign takes a bit. */
const maxSigned = 2 ** 52 - 1;

/** Whether its numbers can be read again once they are written. */
export function isReadable({ seq, total, at, removedSeq, removedTotal }: Entry): boolean {
  const signed = [total, removedTotal, seq - removedSeq, total - removedTotal];
  return [seq, at, removedSeq].every(isCount) && signed.every((value) => Math.abs(value) <= maxSigned);
}

/** The cart as bytes. */
export function encodeCart(cart: Cart): Uint8Array {
  const out: number[] = [format];
  const write = writerTo(out);
  const devices = [...new Set([...cart.seen.keys(), ...[...cart.lines.values()].flatMap((line) => [...line.keys()])])];
  devices.sort(compareTexts);
  const places = new Map(devices.map((device, place) => [device, place]));
  write.count(devices.length);
  for (const device of devices) {
    write.uuid(device);
    write.count(cart.seen.get(device) ?? 0);
  }
  const entries = [...cart.lines.values()].flatMap((line) => [...line.values()]);
  const firstAt = entries.reduce((first, { at }) => Math.min(first, at), entries[0]?.at ?? 0);
  write.count(firstAt);
  write.count(cart.lines.size);
  for (const key of [...cart.lines.keys()].sort(compareTexts)) {
    write.text(key);
    const line = cart.lines.get(key)!;
    write.count(line.size);
    for (const device of [...line.keys()].sort(compareTexts)) {
      const { seq, total, at, removedSeq, removedTotal } = line.get(device)!;
      write.count(places.get(device)!);
      write.count(seq);
      write.signed(total);
      write.count(at - firstAt);
      write.signed(seq - removedSeq);
      write.signed(total - removedTotal);
    }
  }
  write.count(cart.fields.size);
  for (const name of [...cart.fields.keys()].sort(compareTexts)) {
    const { strategy, state } = cart.fields.get(name)!;
    write.text(name);
    write.text(strategy);
    write.text(JSON.stringify(state));
  }
  return new Uint8Array(out);
}

function writerTo(out: number[]) {
  function count(value: number): void {
    let rest = value;
    while (rest >= 128) {
      out.push((rest % 128) + 128);
      rest = Math.floor(rest / 128);
    }
    out.push(rest);
  }
  return {
    count,
    /** The sign is the last bit. */
    signed: (value: number) => count(value < 0 ? -value * 2 - 1 : value * 2),
    text(text: string) {
      const bytes = encoder.encode(text);
      count(bytes.length);
      for (const byte of bytes) out.push(byte);
    },
    uuid(id: string) {
      for (const byte of id.replaceAll('-', '').match(/../g) ?? []) out.push(Number.parseInt(byte, 16));
    },
  };
}

/** The cart of these bytes. Throws a RangeError that says what is wrong with them. */
export function decodeCart(bytes: Uint8Array): Cart {
  if (bytes.length > maxBytes) throw new RangeError(`A cart has at most ${maxBytes} bytes.`);
  const read = readerOf(bytes);
  if (read.byte() !== format) throw new RangeError('The bytes are not a cart in a format that this version knows.');
  const cart = emptyCart();
  const devices: string[] = [];
  for (let left = read.count(maxDevices); left > 0; left--) {
    const device = read.uuid();
    const seq = read.count();
    devices.push(device);
    if (seq > 0) cart.seen.set(device, seq);
  }
  const firstAt = read.count();
  let entriesLeft = maxEntries;
  for (let left = read.count(maxLines); left > 0; left--) {
    const key = read.text(maxKeyLength);
    itemOf(key);
    const entries = read.count(Math.min(maxDevices, entriesLeft));
    entriesLeft -= entries;
    cart.lines.set(key, readLine(read, entries, { devices, firstAt }));
  }
  for (let left = read.count(maxFields); left > 0; left--) cart.fields.set(read.text(100), readField(read));
  read.end();
  return cart;
}

function readLine(
  read: ReturnType<typeof readerOf>,
  entries: number,
  { devices, firstAt }: { devices: string[]; firstAt: number },
): Line {
  const line: Line = new Map();
  for (let left = entries; left > 0; left--) {
    const device = devices[read.count()];
    if (device === undefined) throw new RangeError('A line names a device that is not listed.');
    const seq = read.count();
    const total = read.signed();
    const at = firstAt + read.count();
    const entry: Entry = { seq, total, at, removedSeq: seq - read.signed(), removedTotal: total - read.signed() };
    if (!Object.values(entry).every(Number.isSafeInteger)) throw new RangeError('A number is too large.');
    line.set(device, entry);
  }
  return line;
}

function readField(read: ReturnType<typeof readerOf>): Field {
  const name = read.text(100) as Field['strategy'];
  const strategy = Object.hasOwn(strategies, name) ? strategies[name] : undefined;
  let state: unknown;
  try {
    state = JSON.parse(read.text(maxFieldLength));
  } catch {
    throw new RangeError('A field is not JSON.');
  }
  if (!strategy?.isState(state)) throw new RangeError('A field is not a state of its strategy.');
  return { strategy: name, state };
}

function readerOf(bytes: Uint8Array) {
  let at = 0;
  function byte(): number {
    const value = bytes[at++];
    if (value === undefined) throw new RangeError('The bytes end too early.');
    return value;
  }
  function count(most = Number.MAX_SAFE_INTEGER): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const next = byte();
      value += (next % 128) * factor;
      if (value > most) throw new RangeError('A number is too large.');
      if (next < 128) return value;
      if (factor > 2 ** 49) throw new RangeError('A number is too long.');
    }
  }
  function take(length: number): Uint8Array {
    if (at + length > bytes.length) throw new RangeError('The bytes end too early.');
    at += length;
    return bytes.subarray(at - length, at);
  }
  return {
    byte,
    count,
    signed(): number {
      const value = count();
      return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
    },
    text(mostBytes: number): string {
      try {
        return decoder.decode(take(count(mostBytes)));
      } catch (error) {
        if (error instanceof RangeError) throw error;
        throw new RangeError('A text is not UTF-8.');
      }
    },
    uuid(): string {
      const hex = [...take(16)].map((each) => each.toString(16).padStart(2, '0')).join('');
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    },
    end(): void {
      if (at !== bytes.length) throw new RangeError('There are bytes after the end of the cart.');
    },
  };
}

/**
 * Arrays as parameters in PostgreSQL's binary format, for statements that take many rows at once (`unnest`). pg itself
 * encodes arrays as text, in which every byte of a bytea is two characters to write, send and parse. It sends a Buffer
 * unchanged.
 */
import { types } from 'pg';

const { BOOL, BYTEA, INT4, TEXT, TIMESTAMPTZ, UUID } = types.builtins;

/**
 * As array_recv reads it: dimensions, has-nulls flag, element type, length, lower bound, then each value after its
 * size.
 */
function binaryArray(type: number, sizes: number[], write: (buffer: Buffer, offset: number, index: number) => void) {
  const headerBytes = 20;
  let bytes = headerBytes;
  for (const size of sizes) bytes += 4 + Math.max(0, size);
  const buffer = Buffer.allocUnsafe(bytes);
  buffer.writeInt32BE(1, 0);
  buffer.writeInt32BE(sizes.includes(-1) ? 1 : 0, 4);
  buffer.writeInt32BE(type, 8);
  buffer.writeInt32BE(sizes.length, 12);
  buffer.writeInt32BE(1, 16);
  let offset = headerBytes;
  for (let index = 0; index < sizes.length; index++) {
    const size = sizes[index]!;
    buffer.writeInt32BE(size, offset);
    offset += 4;
    if (size === -1) continue; // null
    write(buffer, offset, index);
    offset += size;
  }
  return buffer;
}

/** `bytea[]` */
export function byteaArray(values: (Uint8Array | null)[]): Buffer {
  return binaryArray(
    BYTEA,
    values.map((value) => value?.length ?? -1),
    (buffer, offset, index) => buffer.set(values[index]!, offset),
  );
}

/** `text[]` */
export function textArray(values: (string | null)[]): Buffer {
  return binaryArray(
    TEXT,
    values.map((value) => (value === null ? -1 : Buffer.byteLength(value))),
    (buffer, offset, index) => buffer.write(values[index]!, offset),
  );
}

/** `uuid[]`. Throws if a value is not a UUID of 36 characters. */
export function uuidArray(values: (string | null)[]): Buffer {
  return binaryArray(
    UUID,
    values.map((value) => (value === null ? -1 : 16)),
    (buffer, offset, index) => {
      const value = values[index]!;
      if (buffer.write(value.replaceAll('-', ''), offset, 16, 'hex') !== 16 || value.length !== 36)
        throw new TypeError(`"${value}" is not a UUID`);
    },
  );
}

/** `int4[]` */
export function int4Array(values: (number | null)[]): Buffer {
  return binaryArray(
    INT4,
    values.map((value) => (value === null ? -1 : 4)),
    (buffer, offset, index) => buffer.writeInt32BE(values[index]!, offset),
  );
}

/** `boolean[]` */
export function booleanArray(values: boolean[]): Buffer {
  return binaryArray(
    BOOL,
    values.map(() => 1),
    (buffer, offset, index) => buffer.writeUInt8(values[index] ? 1 : 0, offset),
  );
}

/** 2000-01-01, from which PostgreSQL counts. */
const epochMs = 946_684_800_000;
const infinitelyEarly = -(2n ** 63n);

/** `timestamptz[]`, of milliseconds since 1970; `-Infinity` is PostgreSQL's `-infinity`. */
export function timestamptzArray(values: number[]): Buffer {
  return binaryArray(
    TIMESTAMPTZ,
    values.map(() => 8),
    (buffer, offset, index) => {
      const ms = values[index]!;
      buffer.writeBigInt64BE(ms === Number.NEGATIVE_INFINITY ? infinitelyEarly : BigInt(ms - epochMs) * 1_000n, offset);
    },
  );
}

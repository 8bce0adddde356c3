/** The seal of a message: what it covers, and its form in the headers. docs/message-seals.md describes both for others. */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { hashLength, leafHash } from './hash-tree.ts';

/** A seal as the message carries it. */
export interface Seal {
  /** The name of the key that has signed. */
  keyId: string;
  bytes: Buffer;
}

/** A seal's parts. */
export interface SealParts {
  /** The event's place among those that were sealed together, and their number. */
  index: number;
  size: number;
  signature: Buffer;
  path: Buffer[];
}

const version = 1;
const fixedLength = 11;
const maxSize = 65_536;
const maxBytes = 1_100;
const maxKeyId = 255;

const signedPrefix = Buffer.from('caudal-seal-v1\n');

/** What the key signs for a root. It is nothing that a token's signature could cover, which has no line feed. */
export function signedBytes(root: Buffer): Buffer {
  return Buffer.concat([signedPrefix, root]);
}

const buffer = (bytes: Uint8Array) =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The hash of all that counts of an event. */
export function eventHash(event: RecordedEvent): Buffer {
  const texts = [
    event.eventId,
    event.type,
    event.stream,
    event.recordedAt.toISOString(),
    String(event.version),
    String(event.position),
    String(event.schemaVersion),
    String(event.epoch ?? ''),
  ];
  const [metadata, data] = [buffer(event.metadata), buffer(event.data)];
  return leafHash([textsWithLengths(texts), lengthOf(metadata), metadata, lengthOf(data), data]);
}

/** In one buffer, since events are small and many. */
function textsWithLengths(texts: string[]): Buffer {
  const all = Buffer.allocUnsafe(texts.reduce((sum, text) => sum + 4 + Buffer.byteLength(text), 0));
  let at = 0;
  for (const text of texts) {
    const length = all.write(text, at + 4);
    all.writeUInt32BE(length, at);
    at += 4 + length;
  }
  return all;
}

function lengthOf(value: Buffer): Buffer {
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(value.length);
  return length;
}

export function encodeSeal({ index, size, signature, path }: SealParts): Buffer {
  const fixed = Buffer.allocUnsafe(fixedLength);
  fixed.writeUInt8(version);
  fixed.writeUInt32BE(index, 1);
  fixed.writeUInt32BE(size, 5);
  fixed.writeUInt16BE(signature.length, 9);
  return Buffer.concat([fixed, signature, ...path]);
}

/** The parts of a seal; undefined if it is none of this version, or larger than one can be. */
export function decodeSeal({ keyId, bytes }: Seal): SealParts | undefined {
  if (keyId.length > maxKeyId || bytes.length < fixedLength || bytes.length > maxBytes) return undefined;
  const size = bytes.readUInt32BE(5);
  const pathAt = fixedLength + bytes.readUInt16BE(9);
  if (bytes.readUInt8() !== version || size > maxSize || pathAt > bytes.length) return undefined;
  if ((bytes.length - pathAt) % hashLength !== 0) return undefined;
  const path: Buffer[] = [];
  for (let at = pathAt; at < bytes.length; at += hashLength) path.push(bytes.subarray(at, at + hashLength));
  return { index: bytes.readUInt32BE(1), size, signature: bytes.subarray(fixedLength, pathAt), path };
}

/**
 * Bounds the messages of a call while they are received, through parts of grpc-js that are no part of its API. See README, The
 * bound of a message.
 */
import { constants } from 'node:http2';
import { createGunzip, createInflate } from 'node:zlib';
import { type ServerInterceptingCallInterface, status } from '@grpc/grpc-js';

/** What grpc-js' call has, as far as it is used here. */
interface Reader {
  maxReceiveMessageSize?: unknown;
  decoder?: {
    maxReadMessageLength?: unknown;
    /** 0 between two messages. */
    readState?: unknown;
    write?(data: Buffer): Buffer[];
  };
  decompressMessage?(message: Buffer, encoding: string): Buffer | Promise<Buffer>;
  receivedHalfClose?: boolean;
  stream?: { close(code: number): void; destroy(): void };
}

export interface MessageBounds {
  /** The most bytes of a message, decompressed. */
  bytes: number;
  /** The most messages of the call. One more is passed on, so that grpc-js refuses it; what follows is dropped. */
  messages: number;
  /** Called before bytes are kept. Throws the error to answer if there are too many. */
  take(bytes: number): void;
  /** Answers instead of grpc-js, which sends no error details; called once. `undefined`: a message is too long. */
  refuse(error: unknown): void;
}

/** What a part of a message costs beside its bytes: one byte in a frame of its own is an object. */
export const frameBytes = 256;
/** What decompression takes beside its result. */
const inflateBytes = 64 * 1024;
/** grpc-js puts a flag and the length before each message. */
const prefixBytes = 5;

/**
 * Answers a call whose request has not been received completely, and then ends its stream. Otherwise it would stay open until its
 * caller ends it, without a place.
 */
export function refuseStream(
  call: ServerInterceptingCallInterface,
  ending: Parameters<typeof call.sendStatus>[0],
): void {
  call.sendStatus(ending);
  closeStream(call);
}

/** Ends the stream of a call that has its status, if its caller has not ended it. */
export function closeStream(call: ServerInterceptingCallInterface): void {
  const { receivedHalfClose, stream } = call as Reader;
  if (!receivedHalfClose) stream?.close(constants.NGHTTP2_NO_ERROR);
}

/** Ends the stream of a call, and no other of its connection. */
export const destroyStream = (call: ServerInterceptingCallInterface): void => (call as Reader).stream?.destroy();

/** From now on these bounds hold for the call. */
export function boundMessages(call: ServerInterceptingCallInterface, bounds: MessageBounds): void {
  const reader = call as Reader;
  const { decoder } = reader;
  if (
    typeof reader.maxReceiveMessageSize !== 'number' ||
    typeof decoder?.maxReadMessageLength !== 'number' ||
    typeof decoder.readState !== 'number' ||
    !decoder.write ||
    !reader.decompressMessage
  )
    throw new Error('This version of grpc-js reads messages in another way: message-bound.ts has to follow it.');
  reader.maxReceiveMessageSize = bounds.bytes;
  decoder.maxReadMessageLength = bounds.bytes;
  const send = call.sendStatus.bind(call);
  let refused = false;
  const refuse = (error: unknown) => {
    if (refused) return;
    refused = true;
    bounds.refuse(error);
  };
  call.sendStatus = (ending) => {
    // A status of grpc-js itself has no metadata. It is sent again for each frame that follows.
    const isOwn = ending.code === status.RESOURCE_EXHAUSTED && !ending.metadata && /larger than/.test(ending.details);
    if (!isOwn) send(ending);
    else refuse(undefined);
  };
  boundFrames(decoder, bounds, () => refused, refuse);
  const whole = reader.decompressMessage.bind(call);
  reader.decompressMessage = (message, encoding) =>
    encoding === 'gzip' || encoding === 'deflate'
      ? decompressed(message.subarray(prefixBytes), encoding, bounds, refuse)
      : whole(message, encoding);
}

function boundFrames(
  decoder: NonNullable<Reader['decoder']>,
  bounds: MessageBounds,
  isRefused: () => boolean,
  refuse: (error: unknown) => void,
): void {
  const write = decoder.write!.bind(decoder);
  let left = bounds.messages + 1;
  const isRoomFor = (bytes: number): boolean => {
    try {
      bounds.take(bytes);
      return true;
    } catch (error) {
      refuse(error);
      return false;
    }
  };
  decoder.write = (data) => {
    if (left <= 0 || isRefused()) return [];
    if (!isRoomFor(data.length + frameBytes)) return [];
    // A part keeps all that was read from the connection with it. A whole message is copied by the decoder.
    const isWhole =
      decoder.readState === 0 && data.length >= prefixBytes && data.length === prefixBytes + data.readUInt32BE(1);
    const messages = write(isWhole ? data : Buffer.from(data));
    const passed = messages.slice(0, left);
    left -= messages.length;
    // Each waits for its turn.
    if (passed.length > 1 && !isRoomFor((passed.length - 1) * frameBytes)) return [];
    return passed;
  };
}

/** Rejects with a status, as grpc-js' own method does. */
function decompressed(
  bytes: Buffer,
  encoding: 'gzip' | 'deflate',
  bounds: MessageBounds,
  refuse: (error: unknown) => void,
): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const stream = encoding === 'gzip' ? createGunzip() : createInflate();
  const parts: Buffer[] = [];
  let length = 0;
  const stop = (error: unknown) => {
    stream.destroy();
    refuse(error);
    // Taken for grpc-js' own status, so it is not sent.
    reject({ code: status.RESOURCE_EXHAUSTED, details: 'larger than allowed', metadata: null });
  };
  const take = (more: number): boolean => {
    try {
      bounds.take(more);
      return true;
    } catch (error) {
      stop(error);
      return false;
    }
  };
  stream.on('data', (part: Buffer) => {
    length += part.length;
    if (length > bounds.bytes) stop(undefined);
    else if (take(part.length)) parts.push(part);
  });
  stream.on('end', () => resolve(Buffer.concat(parts, length)));
  stream.on('error', () => reject({ code: status.INTERNAL, details: 'Failed to decompress message' }));
  if (take(inflateBytes)) stream.end(bytes);
  return promise;
}

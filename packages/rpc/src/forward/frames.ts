/** The stream that carries forwarded calls, as grpc-js needs it: see docs/owners.md, The connection. */
import { Answers, Forward } from '@caudal/contract/gen/caudal/forward/v1/forward.ts';
import type { MethodDefinition } from '@grpc/grpc-js';

/** What a token needs beside the subject of a service to open the stream. */
export const forwardPermission = 'calls.forward';

export const forwardMethod = {
  path: '/caudal.forward.v1.ForwardService/Forward',
  requestStream: true,
  responseStream: true,
  requestSerialize: (message) => Buffer.from(Forward.encode(message).finish()),
  requestDeserialize: (bytes) => Forward.decode(bytes),
  responseSerialize: (message) => Buffer.from(Answers.encode(message).finish()),
  responseDeserialize: (bytes) => Answers.decode(bytes),
} satisfies MethodDefinition<Forward, Answers>;

/** A message ends once it has this many bytes. So only a call that is larger than this makes a larger message. */
export const frameBytes = 64 * 1024;

/** Gathers what one turn of the event loop sends. `flush` is called once for it, in a turn of its own. */
export function gatherer(flush: () => void): () => void {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    setImmediate(() => {
      due = false;
      flush();
    });
  };
}

/** Splits what was gathered into messages of about `frameBytes`. */
export function inFrames<T>(gathered: T[], bytesOf: (one: T) => number): T[][] {
  const frames: T[][] = [];
  let frame: T[] = [];
  let bytes = 0;
  for (const one of gathered) {
    frame.push(one);
    bytes += bytesOf(one);
    if (bytes < frameBytes) continue;
    frames.push(frame);
    frame = [];
    bytes = 0;
  }
  if (frame.length > 0) frames.push(frame);
  return frames;
}

/**
 * Calls of a connection that the owner has at the same time. The rest waits in the forwarding process: there is its bound, and
 * there it can be cancelled at once. Many forwarding
 * processes together stay below the bound of a stream's queue, 1,000.
 */
export const windowCalls = 64;

/**
 * Bounds health and reflection, which anybody may call: tiny messages that must arrive in time, and few streams. Other calls
 * have places; a health watch would hold one for as long as its connection lives.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { Metadata, ServerInterceptingCall, type ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { toClientError, toStatus } from '../errors.ts';
import { networkOf } from '../server/address.ts';
import type { Admission } from '../server/admission.ts';
import { noteRefusal } from '../server/places.ts';
import { openPool, type Pool } from '../server/pool.ts';
import { tooSlow } from '../server/request-size.ts';
import { boundMessages, refuseStream } from './message-bound.ts';
import { readerOf } from './metadata.ts';

/** Streams of each kind at the same time. An address gets half of them. */
export const maxStreams = { check: 512, watch: 512, reflection: 8 };
const alpha = 1;

interface Kind {
  pool: Pool;
  /** The most bytes of a message. */
  bytes: number;
  /** The most messages of a stream. */
  messages: number;
}
/** The most that a stream holds of its messages and their frames: enough for each in some sixty frames. */
const heldBytes = ({ bytes, messages }: Kind) => 16 * 1024 + bytes * messages;

export interface OpenStreams {
  admit(path: string, call: ServerInterceptingCallInterface): ServerInterceptingCall;
}

export function openStreams({
  patience,
  limits,
  address,
}: Pick<Admission, 'patience' | 'limits' | 'address'>): OpenStreams {
  const check: Kind = { bytes: 1_024, messages: 1, pool: openPool(maxStreams.check, alpha) };
  const watch: Kind = { ...check, pool: openPool(maxStreams.watch, alpha) };
  const reflection: Kind = { bytes: 4_096, messages: 100, pool: openPool(maxStreams.reflection, alpha) };
  const kindOf = (path: string) => {
    if (path.startsWith('/grpc.reflection.')) return reflection;
    return path.endsWith('/Watch') ? watch : check;
  };

  return {
    admit(path, call) {
      const kind = kindOf(path);
      const refuse = (error: unknown) => refuseStream(call, toStatus(toClientError(error), new Metadata()));
      let leave = () => {};
      let done = () => {};
      let held = 0;
      return new Paced(call, {
        start: (next) =>
          next({
            onReceiveMetadata(metadata, admit) {
              const from = address(call.getConnectionInfo().remoteAddress, readerOf(metadata));
              const given = kind.pool.take(networkOf(from));
              if (!given) {
                refuse(tooMany());
                return;
              }
              leave = given;
              done = patience.watch(limits.requestBodyMs, () => refuse(tooSlow()));
              boundMessages(call, {
                bytes: kind.bytes,
                messages: kind.messages,
                take(bytes) {
                  held += bytes;
                  if (held > heldBytes(kind)) throw tooMany();
                },
                refuse: (error) => refuse(error ?? tooLong(kind.bytes)),
              });
              admit(metadata);
            },
            onReceiveMessage(message, pass) {
              // A stream of reflection stays open between its requests; a call of health is over with its message.
              if (kind === reflection) done();
              pass(message);
            },
            onReceiveHalfClose(pass) {
              done();
              pass();
            },
            onCancel() {
              done();
              leave();
            },
          }),
      });
    },
  };
}

/** Reads the next message only once the answers to those before are sent. So answers that nobody reads do not pile up. */
class Paced extends ServerInterceptingCall {
  private unsent = 0;
  private wanted = false;

  override startRead(): void {
    if (this.unsent > 0) this.wanted = true;
    else super.startRead();
  }

  override sendMessage(message: unknown, callback: () => void): void {
    this.unsent++;
    super.sendMessage(message, () => {
      callback();
      this.unsent--;
      if (this.unsent > 0 || !this.wanted) return;
      this.wanted = false;
      super.startRead();
    });
  }
}

function tooMany(): CaudalError {
  noteRefusal('SERVER_BUSY');
  const message = 'Health and reflection have as many streams open as this address, or the server, may have.';
  return new CaudalError('RESOURCE_EXHAUSTED', 'SERVER_BUSY', message, { retryAfterMs: 1_000 });
}

const tooLong = (bytes: number): CaudalError =>
  new CaudalError(
    'RESOURCE_EXHAUSTED',
    'REQUEST_TOO_LARGE',
    `Messages of health and reflection have at most ${bytes} bytes.`,
    {
      metadata: { max_request_bytes: String(bytes) },
    },
  );

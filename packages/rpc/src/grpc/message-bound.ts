/**
 * Stops reading a message at its method's own bound. grpc-js has one bound for all methods and no way to lower it for a call,
 * so that any caller could have it hold a message of the largest. Its reader of a call is no part of its API: where it has
 * another shape nothing is changed here, and the pipeline still refuses what is too long. serving.test.ts fails then.
 */
import { type ServerInterceptingCallInterface, status } from '@grpc/grpc-js';

interface Reader {
  maxReceiveMessageSize?: unknown;
  decoder?: { maxReadMessageLength?: unknown };
}

/**
 * From now on the call takes messages of so many bytes, decompressed. `refuse` answers, once, in the place of grpc-js, which
 * knows no details of errors.
 */
export function boundMessages(call: ServerInterceptingCallInterface, bytes: number, refuse: () => void): void {
  const reader = call as Reader;
  if (typeof reader.maxReceiveMessageSize !== 'number' || typeof reader.decoder?.maxReadMessageLength !== 'number')
    return;
  reader.maxReceiveMessageSize = bytes;
  reader.decoder.maxReadMessageLength = bytes;
  const send = call.sendStatus.bind(call);
  let refused = false;
  call.sendStatus = (ending) => {
    // Its own endings have no metadata. It says the same again for each frame that follows.
    const isOwn = ending.code === status.RESOURCE_EXHAUSTED && !ending.metadata && /larger than/.test(ending.details);
    if (!isOwn) send(ending);
    else if (!refused) {
      refused = true;
      refuse();
    }
  };
}

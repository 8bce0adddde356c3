/**
 * Stops reading a message at the bound of its method, through a part of grpc-js. See README, The bound of a message.
 */
import { type ServerInterceptingCallInterface, status } from '@grpc/grpc-js';

interface Reader {
  maxReceiveMessageSize?: unknown;
  decoder?: { maxReadMessageLength?: unknown };
}

/**
 * From now on the call accepts messages of this many bytes, decompressed. `refuse` is called once, to answer instead of
 * grpc-js, which sends no error details.
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
    // A status of grpc-js itself has no metadata. It is sent again for each frame that follows.
    const isOwn = ending.code === status.RESOURCE_EXHAUSTED && !ending.metadata && /larger than/.test(ending.details);
    if (!isOwn) send(ending);
    else if (!refused) {
      refused = true;
      refuse();
    }
  };
}

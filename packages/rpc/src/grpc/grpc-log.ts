/**
 * The log of grpc-js as lines of Caudal's log. By itself grpc-js writes bare text to standard error, with the values of
 * headers that it refuses: any caller could write lines into the log, and a malformed token would be in it.
 */
import { logger } from '@caudal/telemetry/log.ts';
import { setLogger } from '@grpc/grpc-js';

const log = logger('grpc-js');
/** `Failed to add metadata entry NAME: VALUE. Metadata string value ...` */
const aboutHeader = /^Failed to add metadata entry/;

/** Takes effect for the whole process. */
export function takeGrpcLog(): void {
  setLogger({
    error: (text: unknown) => {
      if (aboutHeader.test(String(text))) log.debug('a header was left out: its value is not printable ASCII');
      else log.warn(String(text));
    },
    info: (text: unknown) => log.info(String(text)),
    debug: (text: unknown) => log.debug(String(text)),
  });
}

/**
 * What grpc-js says by itself, as lines of our log. Its own go to standard error as bare text, and of a header that it
 * does not take they show the value: anybody could write into the log, and a token with a slip in it would be in it.
 */
import { logger } from '@caudal/telemetry/log.ts';
import { setLogger } from '@grpc/grpc-js';

const log = logger('grpc-js');
/** `Failed to add metadata entry NAME: VALUE. Metadata string value ...` */
const aboutHeader = /^Failed to add metadata entry/;

/** From now on, for the whole process. */
export function takeGrpcLog(): void {
  setLogger({
    error: (text: unknown) => {
      if (aboutHeader.test(String(text))) log.debug('a header was left out, since it is no text of printable ASCII');
      else log.warn(String(text));
    },
    info: (text: unknown) => log.info(String(text)),
    debug: (text: unknown) => log.debug(String(text)),
  });
}

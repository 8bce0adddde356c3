/** The error of a store that can't be reached. */
import { CaudalError } from '@caudal/kernel/errors.ts';

const retryAfterMs = 1_000;

/** UNAVAILABLE: the archive does not answer, or not as it should. */
export function archiveUnavailable(where: string, why: string, cause?: unknown): CaudalError {
  const message = `The archive ${where} can't be reached at the moment: ${why}`;
  return new CaudalError('UNAVAILABLE', 'ARCHIVE_UNAVAILABLE', message, { cause, retryAfterMs });
}

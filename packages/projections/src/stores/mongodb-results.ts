/**
 * What MongoDB's driver says of a write: which documents have landed, lost or were refused, or that nothing is certain. A
 * write that did not reach the members that the write concern asks for is never a result: a fail-over may undo it.
 */
import { unavailable } from '@caudal/kernel/errors.ts';
import {
  BSON,
  type BulkWriteResult,
  MongoBulkWriteError,
  MongoInvalidArgumentError,
  MongoWriteConcernError,
} from 'mongodb';
import type { SaveResult, Write } from './store.ts';

const duplicateKey = 11000;

/**
 * Errors of a single write that are the server's fault, not the write's: not the primary any more, shutting down,
 * interrupted, out of time, disk or memory, in conflict for the moment.
 */
const serverTrouble = new Set([
  7, 24, 43, 50, 64, 89, 91, 112, 133, 134, 175, 189, 202, 237, 262, 290, 317, 318, 320, 358, 9001, 10058, 10107, 11600,
  11602, 13435, 13436, 14031, 16500,
]);

/** Whether the driver refused a document before sending it: too large, or not BSON. */
export function isDocumentError(error: unknown): boolean {
  // By name, since Node itself throws this RangeError, when a string does not fit into the driver's buffer.
  const tooLong = (error as Error).name === 'RangeError';
  return tooLong || error instanceof MongoInvalidArgumentError || error instanceof BSON.BSONError;
}

/** A document's error as it is; any other as UNAVAILABLE. */
export function callersError(error: unknown): unknown {
  if (isDocumentError(error)) return error;
  return error instanceof MongoWriteConcernError ? unconfirmed(error.message, error) : unavailable('MongoDB', error);
}

/** The result of a bulk write that did not throw. UNAVAILABLE if its write concern failed. */
export function resultOf(result: BulkWriteResult): SaveResult {
  const failure = result.getWriteConcernError();
  if (failure) throw unconfirmed(failure.errmsg, failure);
  return { lost: [], refused: [] };
}

/** The result of a bulk write that threw: E11000 means a lost race. Throws if the error is not that of documents. */
export function judgeError(error: unknown, writes: Write[]): SaveResult {
  if (!(error instanceof MongoBulkWriteError)) throw callersError(error);
  // First: beside it the driver may leave out the errors of writes. All are repeated, and the losers lose again.
  const failure = error.result?.getWriteConcernError();
  if (failure) throw unconfirmed(failure.errmsg, error);
  const writeErrors = [error.writeErrors].flat();
  if (writeErrors.length === 0) throw unavailable('MongoDB', error);
  const result: SaveResult = { lost: [], refused: [] };
  for (const writeError of writeErrors) {
    const { id } = writes[writeError.index]!;
    if (writeError.code === duplicateKey) result.lost.push(id);
    else if (serverTrouble.has(writeError.code)) throw unavailable('MongoDB', error);
    else result.refused.push({ id, error: new Error(writeError.errmsg ?? `MongoDB error ${writeError.code}`) });
  }
  return result;
}

function unconfirmed(reason: string | undefined, cause: unknown): unknown {
  const fix = 'bring the missing members back, or lower CAUDAL_MONGODB_WRITE_CONCERN';
  return unavailable('MongoDB', new Error(`The write concern is not met (${reason}): ${fix}.`, { cause }));
}

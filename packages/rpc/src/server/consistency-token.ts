/**
 * The consistency token: the streams that an answer has changed, and their versions. A query with it sees at least
 * these. It is not signed, since it is no secret and gives no rights. It is bounded, since queries wait for it.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';

export interface StreamVersion {
  stream: string;
  version: number;
  /** The epoch of the log in which it was written, if that is not the first (docs/fail-over.md). */
  epoch?: number;
}

/** Headers are bounded, so an answer that changed more streams (a reservation of hundreds of lines) names the first. */
const maxStreams = 50;
const maxCharacters = 16_384;
/** The highest version that logs can store. */
const maxVersion = 2 ** 31 - 1;
const stream = /^[a-z]+\.[a-z_]+\/[\x21-\x7e]{1,200}$/;

/** The token, or undefined if nothing was written. */
export function encodeConsistency(written: StreamVersion[]): string | undefined {
  if (written.length === 0) return undefined;
  const pairs = written
    .slice(0, maxStreams)
    .map(({ stream, version, epoch }) => (epoch ? [stream, version, epoch] : [stream, version]));
  return Buffer.from(JSON.stringify(pairs)).toString('base64url');
}

/** The content of a token; empty if there is none. Throws INVALID_ARGUMENT if it is not one of Caudal's. */
export function decodeConsistency(token: string | undefined): StreamVersion[] {
  if (!token) return [];
  try {
    if (token.length > maxCharacters || !/^[\w-]+$/.test(token)) throw new Error('no base64url');
    const pairs: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    if (!Array.isArray(pairs) || pairs.length > maxStreams) throw new Error('no list');
    return pairs.map((pair: unknown) => {
      const known = Array.isArray(pair) && (pair.length === 2 || pair.length === 3);
      const [name, version, epoch] = known ? (pair as unknown[]) : [];
      if (typeof name !== 'string' || !stream.test(name)) throw new Error('no stream');
      if (!isVersion(version)) throw new Error('no version');
      if (epoch === undefined) return { stream: name, version };
      if (!Number.isSafeInteger(epoch) || (epoch as number) < 1) throw new Error('no epoch');
      return { stream: name, version, epoch: epoch as number };
    });
  } catch (cause) {
    throw new CaudalError(
      'INVALID_ARGUMENT',
      'INVALID_CONSISTENCY_TOKEN',
      "The consistency token is not one of Caudal's. Send the token of an answer unchanged, or leave it out.",
      { cause },
    );
  }
}

const isVersion = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= maxVersion;

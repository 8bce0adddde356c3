/**
 * The consistency token: which streams an answer has moved, and to where. A client hands it back with a query to see at
 * least that. It is no secret and carries no rights, so it is not signed; it is bounded, because queries wait on it.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';

export interface StreamVersion {
  stream: string;
  version: number;
}

/** An answer that moved more (a reservation of hundreds of lines) names the first of them: headers are bounded. */
const maxStreams = 50;
const maxCharacters = 16_384;
/** As far as logs count the events of a stream. */
const maxVersion = 2 ** 31 - 1;
const stream = /^[a-z]+\.[a-z_]+\/[\x21-\x7e]{1,200}$/;

/** The token, or undefined if nothing was written. */
export function encodeConsistency(written: StreamVersion[]): string | undefined {
  if (written.length === 0) return undefined;
  const pairs = written.slice(0, maxStreams).map((entry) => [entry.stream, entry.version]);
  return Buffer.from(JSON.stringify(pairs)).toString('base64url');
}

/** What a token stands for; nothing if there is none. Throws INVALID_ARGUMENT if it is none of ours. */
export function decodeConsistency(token: string | undefined): StreamVersion[] {
  if (!token) return [];
  try {
    if (token.length > maxCharacters || !/^[\w-]+$/.test(token)) throw new Error('no base64url');
    const pairs: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    if (!Array.isArray(pairs) || pairs.length > maxStreams) throw new Error('no list');
    return pairs.map((pair: unknown) => {
      const [name, version] = Array.isArray(pair) && pair.length === 2 ? (pair as unknown[]) : [];
      if (typeof name !== 'string' || !stream.test(name)) throw new Error('no stream');
      if (!isVersion(version)) throw new Error('no version');
      return { stream: name, version };
    });
  } catch (cause) {
    throw new CaudalError(
      'INVALID_ARGUMENT',
      'INVALID_CONSISTENCY_TOKEN',
      'The consistency token is none that Caudal gave out. Send it as it came, or leave it out.',
      { cause },
    );
  }
}

const isVersion = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= maxVersion;

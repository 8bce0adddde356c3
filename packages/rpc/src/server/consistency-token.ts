/**
 * The consistency token: the streams that an answer has changed, and their versions. A query with it sees at least these. It is
 * sealed, so that callers wait for nothing that was never written, and learn of no stream but their own (docs/ids.md). It is bounded,
 * since queries wait for it.
 *
 * A process of version 0.2 must not refuse it during an upgrade: so it is written as 0.2 writes streams, of an entity that no view
 * follows.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { openToken, sealToken } from '@caudal/kernel/sealed-token.ts';

export interface StreamVersion {
  stream: string;
  version: number;
  /** The epoch of the log in which it was written, if that is not the first (docs/fail-over.md). */
  epoch?: number;
}

/** Headers are bounded, so an answer that changed more streams (a reservation of hundreds of lines) names the first. */
const maxStreams = 50;
const maxContent = 4_000;
const maxCharacters = 16_384;
/** The highest version that logs can store. */
const maxVersion = 2 ** 31 - 1;
const stream = /^[a-z]+\.[a-z_]+\/[\x21-\x7e]{1,200}$/;
const sealedEntity = 'caudal.sealed/';
/** As long as a stream's id may be. */
const piece = /.{1,200}/g;

/** The token, or undefined if nothing was written. */
export function encodeConsistency(written: StreamVersion[]): string | undefined {
  const content = writtenText(written);
  if (content === undefined) return undefined;
  return asStreams(sealToken('consistency', content));
}

function asStreams(sealed: string): string {
  const streams = sealed.match(piece)!.map((text) => [sealedEntity + text, 1]);
  return Buffer.from(JSON.stringify(streams)).toString('base64url');
}

/**
 * The content of a token; empty if there is none, and for one in the form of version 0.2, which anyone could make. Throws
 * INVALID_ARGUMENT if it is not one of this system's.
 */
export function decodeConsistency(token: string | undefined): StreamVersion[] {
  if (!token) return [];
  try {
    if (token.length > maxCharacters || !/^[\w-]+$/.test(token)) throw new Error('no base64url');
    const outer = readWritten(Buffer.from(token, 'base64url').toString());
    if (!outer[0]?.stream.startsWith(sealedEntity)) return [];
    const sealed = outer.map((one) => one.stream.slice(sealedEntity.length)).join('');
    const content = openToken('consistency', sealed);
    if (content === undefined || asStreams(sealed) !== token) throw new Error('not sealed with a key of this system');
    return readWritten(content);
  } catch (cause) {
    throw new CaudalError(
      'INVALID_ARGUMENT',
      'INVALID_CONSISTENCY_TOKEN',
      "The consistency token is not one of Caudal's. Send the token of an answer unchanged, or leave it out.",
      { cause },
    );
  }
}

/**
 * The streams as a text, as many as fit; undefined if there is none. Not sealed: for processes that have proven who they are.
 */
export function writtenText(written: StreamVersion[]): string | undefined {
  const pairs: string[] = [];
  let length = 2;
  for (const { stream, version, epoch } of written.slice(0, maxStreams)) {
    const pair = JSON.stringify(epoch ? [stream, version, epoch] : [stream, version]);
    length += pair.length + 1;
    if (length > maxContent) break;
    pairs.push(pair);
  }
  return pairs.length > 0 ? `[${pairs.join(',')}]` : undefined;
}

/** The streams of such a text. Throws an Error if it is none. */
export function readWritten(text: string): StreamVersion[] {
  const pairs: unknown = JSON.parse(text);
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
}

const isVersion = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= maxVersion;

/**
 * The consistency token: the streams that an answer has changed, and their versions. A query with it sees at least these. It is
 * sealed, so that callers wait for nothing that was never written, and learn of no stream but their own (docs/ids.md). It is bounded,
 * since queries wait for it, and proxies for its header.
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

/** An answer that changed more streams (a reservation of hundreds of lines) names the first. */
const maxStreams = 50;
/** So that the token has at most 4,096 characters: the least that usual proxies take of an answer's headers. */
const maxContent = 2_000;
const maxCharacters = 16_384;
/** The highest version that logs can store. */
const maxVersion = 2 ** 31 - 1;
const entity = /^[a-z]+\.[a-z_]+$/;
const id = /^[\x21-\x7e]{1,200}$/;
const sealedEntity = 'caudal.sealed';
/** As long as a stream's id may be. */
const piece = /.{1,200}/g;

/** The token, or undefined if nothing was written. */
export function encodeConsistency(written: StreamVersion[]): string | undefined {
  const content = writtenText(written);
  return content === undefined ? undefined : asStreams(sealToken('consistency', content));
}

function asStreams(sealed: string): string {
  const streams = sealed.match(piece)!.map((text) => [`${sealedEntity}/${text}`, 1]);
  return Buffer.from(JSON.stringify(streams)).toString('base64url');
}

/**
 * The content of a token; empty if there is none, and for one in the form of version 0.2, which anyone could make. Throws
 * INVALID_ARGUMENT if it is not one of this system's. `isNeeded`: false for a command, which has no use for it, and so is not refused
 * because its caller has kept a token for longer than there is its key.
 */
export function decodeConsistency(token: string | undefined, isNeeded = true): StreamVersion[] {
  if (!token) return [];
  try {
    if (token.length > maxCharacters || !/^[\w-]+$/.test(token)) throw new Error('no base64url');
    const outer = readStreams(Buffer.from(token, 'base64url').toString());
    if (!isNeeded || !outer[0]?.stream.startsWith(`${sealedEntity}/`)) return [];
    const sealed = outer.map(({ stream }) => stream.slice(sealedEntity.length + 1)).join('');
    const content = openToken('consistency', sealed);
    if (content === undefined || asStreams(sealed) !== token) throw new Error('not sealed with a key of this system');
    return readWritten(content);
  } catch (cause) {
    throw new CaudalError(
      'INVALID_ARGUMENT',
      'INVALID_CONSISTENCY_TOKEN',
      "The consistency token is not one of Caudal's, or its key has been replaced. Send the token of an answer unchanged, or leave it out.",
      { cause },
    );
  }
}

/**
 * The streams as a text, as many as fit, by entity: `[["orders.order",["o1",7]]]`; undefined if there is none. It is not sealed:
 * for processes that have proven who they are.
 */
export function writtenText(written: StreamVersion[]): string | undefined {
  const groups: { entity: string; parts: string[] }[] = [];
  let length = 2;
  for (const { stream, version, epoch } of written.slice(0, maxStreams)) {
    const end = stream.indexOf('/');
    const of = stream.slice(0, end);
    const part = JSON.stringify([stream.slice(end + 1), version, ...(epoch ? [epoch] : [])]);
    const last = groups.at(-1);
    const isNew = last?.entity !== of;
    length += part.length + 1 + (isNew ? of.length + 5 : 0);
    if (length > maxContent) break;
    if (isNew) groups.push({ entity: of, parts: [part] });
    else last.parts.push(part);
  }
  if (groups.length === 0) return undefined;
  return `[${groups.map(({ entity: of, parts }) => `["${of}",${parts.join(',')}]`).join(',')}]`;
}

/** The streams of such a text. Throws an Error if it is none. */
export function readWritten(text: string): StreamVersion[] {
  return listIn(text).flatMap((group: unknown) => {
    if (!Array.isArray(group)) throw new Error('no group');
    const [of, ...parts] = group as unknown[];
    return parts.map((part) => streamOf(part, typeof of === 'string' ? `${of}/` : undefined));
  });
}

/** The streams as version 0.2 writes them: `[["orders.order/o1",7]]`. Throws an Error if it is none. */
function readStreams(text: string): StreamVersion[] {
  return listIn(text).map((part) => streamOf(part, ''));
}

function listIn(text: string): unknown[] {
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list) || list.length > maxStreams) throw new Error('no list');
  return list;
}

function streamOf(part: unknown, prefix: string | undefined): StreamVersion {
  const known = Array.isArray(part) && (part.length === 2 || part.length === 3);
  const [name, version, epoch] = known ? (part as unknown[]) : [];
  if (typeof name !== 'string' || prefix === undefined) throw new Error('no stream');
  const stream = prefix + name;
  const end = stream.indexOf('/');
  if (end < 0 || !entity.test(stream.slice(0, end)) || !id.test(stream.slice(end + 1))) throw new Error('no stream');
  if (!isVersion(version)) throw new Error('no version');
  if (epoch === undefined) return { stream, version };
  if (!Number.isSafeInteger(epoch) || (epoch as number) < 1) throw new Error('no epoch');
  return { stream, version, epoch: epoch as number };
}

const isVersion = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= maxVersion;

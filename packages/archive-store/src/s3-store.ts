/** An archive in S3-compatible storage. */
import { Readable } from 'node:stream';
import { GetObjectCommand, ListObjectsV2Command, S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { isCode } from '@caudal/kernel/errors.ts';
import { backoffMs, limitedTo, sleep } from '@caudal/kernel/time.ts';
import { archiveUnavailable } from './errors.ts';
import { type ArchiveStore, NoObject, type StoredObject } from './types.ts';

export interface S3Options {
  bucket: string;
  /** Comes before the names of objects; without slashes at its ends. */
  prefix?: string;
  /** The server, if it is not Amazon's; its buckets are addressed by path. */
  endpoint?: string;
  region: string;
  /** Those of the environment if absent: variables, a file, or the cloud's identity of the process. */
  credentials?: { accessKeyId: string; secretAccessKey: string };
  /** How long a range may take, in milliseconds; 3,000 if absent. */
  rangeMs?: number;
}

const connectMs = 1_000;
const rangeMs = 3_000;
/** A part of an upload, or a piece of a download: 16 MiB at 280 kB/s. */
const partMs = 60_000;
const partBytes = 16 * 2 ** 20;
const partsInFlight = 2;
const listedAtMost = 1_000;
/** Connections that are reset cost a part of an upload five tries, a body as many without a byte in between. */
const triesOfLong = 5;
const pauseAfterReset = { firstMs: 200, maxMs: 5_000 };

/** Opens the bucket, which must exist. Connects at first use. */
export function openS3Store(options: S3Options): ArchiveStore {
  const { bucket: Bucket, prefix, endpoint, region, credentials } = options;
  const where = `s3://${[Bucket, ...(prefix ? [prefix] : [])].join('/')}`;
  const connect = (maxAttempts: number) =>
    new S3Client({
      region,
      ...(endpoint && { endpoint, forcePathStyle: true }),
      ...(credentials && { credentials }),
      maxAttempts,
      requestHandler: { connectionTimeout: connectMs, requestTimeout: partMs, throwOnRequestTimeout: true },
      // Compatible servers know no checksums in trailers; whatever is written is read back and compared.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
  const client = connect(2);
  /** For uploads, of which each part is a request. */
  const uploading = connect(triesOfLong);
  const keyOf = (name: string) => (prefix ? `${prefix}/${name}` : name);
  const failed = (name: string, error: unknown, signal?: AbortSignal): unknown => {
    if (signal?.aborted) return signal.reason;
    if (error instanceof S3ServiceException && error.name === 'NoSuchKey') return new NoObject(where, name, error);
    return archiveUnavailable(where, (error as Error).message, error);
  };

  interface Reading {
    /** How long it may take: all of it, or each piece of the body, without the time that the caller takes. */
    ms: number;
    eachPiece?: boolean;
    Range?: string | undefined;
    /** Another object of the name is none. */
    IfMatch?: string | undefined;
    signal?: AbortSignal | undefined;
    /** Learns which object it is. */
    onEtag?(etag: string | undefined): void;
  }

  /** The object's body. */
  async function* read(name: string, reading: Reading): AsyncIterable<Uint8Array> {
    const { ms, eachPiece, Range, IfMatch, signal, onEtag } = reading;
    const outer = signal ?? new AbortController().signal;
    let limit = limitedTo(ms, outer);
    // The body outlives its request, so it is destroyed by hand.
    let body: Readable | undefined;
    const destroy = () => body?.destroy(limit.signal.reason as Error);
    try {
      const answer = await client.send(new GetObjectCommand({ Bucket, Key: keyOf(name), Range, IfMatch }), {
        abortSignal: limit.signal,
      });
      onEtag?.(answer.ETag);
      body = answer.Body as Readable;
      limit.signal.addEventListener('abort', destroy);
      for await (const piece of body) {
        if (eachPiece) limit.end();
        yield piece as Uint8Array;
        // A signal that has fired before tells no listener.
        outer.throwIfAborted();
        if (!eachPiece) continue;
        limit = limitedTo(ms, outer);
        limit.signal.addEventListener('abort', destroy);
      }
    } catch (error) {
      throw failed(name, error, signal);
    } finally {
      limit.end();
      body?.destroy();
    }
  }

  /** The whole body. If its connection breaks, the rest is asked for; of the same object, or it fails. */
  async function* readWhole(name: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
    let given = 0;
    let etag: string | undefined;
    for (let tries = 1; ; tries++) {
      try {
        const Range = given > 0 ? `bytes=${given}-` : undefined;
        const onEtag = (of: string | undefined) => {
          etag ??= of;
        };
        const body = read(name, { ms: partMs, eachPiece: true, Range, IfMatch: etag, signal, onEtag });
        for await (const piece of body) {
          given += piece.length;
          tries = 1;
          yield piece;
        }
        return;
      } catch (error) {
        // Where it broke at the end, there is nothing behind it.
        if (given > 0 && isStatus(error, 416)) return;
        const isFinal = signal.aborted || !isCode(error, 'UNAVAILABLE') || isStatus(error, 412);
        if (isFinal || tries >= triesOfLong) throw error;
        await sleep(backoffMs(tries, pauseAfterReset), signal);
        signal.throwIfAborted();
      }
    }
  }

  return {
    where,
    async put(name, content, signal) {
      // An error of the content is the caller's, and says nothing about the store.
      let own: { error: unknown } | undefined;
      async function* watched() {
        try {
          yield* content;
        } catch (error) {
          own = { error };
          throw error;
        }
      }
      const upload = new Upload({
        client: uploading,
        params: { Bucket, Key: keyOf(name), Body: Readable.from(watched(), { objectMode: false }) },
        partSize: partBytes,
        queueSize: partsInFlight,
      });
      const giveUp = () => void upload.abort();
      if (signal.aborted) throw signal.reason;
      signal.addEventListener('abort', giveUp);
      try {
        await upload.done();
      } catch (error) {
        throw own ? own.error : failed(name, error, signal);
      } finally {
        signal.removeEventListener('abort', giveUp);
      }
    },
    get: readWhole,
    async getRange(name, { offset, length }, signal) {
      const range = `bytes=${offset}-${offset + length - 1}`;
      const pieces: Uint8Array[] = [];
      for await (const piece of read(name, { ms: options.rangeMs ?? rangeMs, Range: range, signal }))
        pieces.push(piece);
      return Buffer.concat(pieces);
    },
    async list(start, signal) {
      const limit = limitedTo(partMs, signal);
      try {
        const command = new ListObjectsV2Command({ Bucket, Prefix: keyOf(start), MaxKeys: listedAtMost });
        const { Contents = [] } = await client.send(command, { abortSignal: limit.signal });
        return Contents.map(
          ({ Key, Size }): StoredObject => ({ name: Key!.slice(keyOf('').length), bytes: Number(Size) }),
        );
      } catch (error) {
        throw failed(start, error, signal);
      } finally {
        limit.end();
      }
    },
    async close() {
      client.destroy();
      uploading.destroy();
    },
  };
}

/** Whether a request was answered with this status. */
function isStatus(error: unknown, status: number): boolean {
  const { cause } = error as Error;
  return cause instanceof S3ServiceException && cause.$metadata.httpStatusCode === status;
}

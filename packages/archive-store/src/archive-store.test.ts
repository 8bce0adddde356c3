import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { startTcpProxy, type TcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openFolderStore } from './folder-store.ts';
import { limitReads } from './limit-reads.ts';
import { openS3Store } from './s3-store.ts';
import { freshBucket } from './testing/bucket.ts';
import { type ArchiveStore, NoObject } from './types.ts';

const never = new AbortController().signal;
const unavailable = { code: 'UNAVAILABLE', reason: 'ARCHIVE_UNAVAILABLE' };

async function* inPieces(content: Buffer, size = 100_000): AsyncIterable<Buffer> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

async function readAll(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** What both stores must do. */
function behaves(open: () => ArchiveStore): void {
  test('gives back what was put there, whole and in part', async () => {
    const store = open();
    // More than one part of an upload.
    const content = randomBytes(36 * 2 ** 20);
    await store.put('orders/2024-03/v1/large', inPieces(content, 1_000_001), never);
    expect((await readAll(store.get('orders/2024-03/v1/large', never))).equals(content)).toBe(true);
    const range = { offset: 20_000_000, length: 70_000 };
    expect(
      (await store.getRange('orders/2024-03/v1/large', range)).equals(content.subarray(20_000_000, 20_070_000)),
    ).toBe(true);
    // A range may end behind the object.
    const end = await store.getRange('orders/2024-03/v1/large', { offset: content.length - 5, length: 1_000 });
    expect(end.equals(content.subarray(-5))).toBe(true);
  });

  test('lists objects by the beginning of their names', async () => {
    const store = open();
    for (const name of ['a/1/x', 'a/1/y', 'a/2/x']) await store.put(name, inPieces(Buffer.from(name)), never);
    expect(await store.list('a/1/', never)).toEqual([
      { name: 'a/1/x', bytes: 5 },
      { name: 'a/1/y', bytes: 5 },
    ]);
    expect(await store.list('nothing/', never)).toEqual([]);
  });

  test('replaces an object', async () => {
    const store = open();
    await store.put('b/x', inPieces(Buffer.from('first')), never);
    await store.put('b/x', inPieces(Buffer.from('second')), never);
    expect((await readAll(store.get('b/x', never))).toString()).toBe('second');
  });

  test('says which object is not there', async () => {
    const store = open();
    await expect(readAll(store.get('c/none', never))).rejects.toThrow(NoObject);
    await expect(store.getRange('c/none', { offset: 0, length: 1 })).rejects.toThrow('"c/none"');
  });

  test('leaves nothing of an object whose content ends with an error, or that is given up', async () => {
    const store = open();
    async function* failing() {
      yield randomBytes(20 * 2 ** 20);
      throw new Error('the partition is damaged');
    }
    await expect(store.put('d/failed', failing(), never)).rejects.toThrow('the partition is damaged');
    const ending = new AbortController();
    async function* endless() {
      for (let n = 0; ; n++) {
        yield randomBytes(2 ** 20);
        if (n === 20) ending.abort(new Error('the lease is lost'));
      }
    }
    await expect(store.put('d/given-up', endless(), ending.signal)).rejects.toThrow();
    expect(await store.list('d/', never)).toEqual([]);
  });
}

describe('an archive in a folder', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'archive-store-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  behaves(() => openFolderStore(folder));
});

describeWith(['s3'], 'an archive in S3', () => {
  let store: ArchiveStore;
  beforeAll(async () => {
    store = openS3Store(await freshBucket());
  });
  afterAll(() => store.close());

  behaves(() => store);

  test('a bucket that is not there is UNAVAILABLE, and named', async () => {
    const other = openS3Store({ ...(await freshBucket()), bucket: 'there-is-none' });
    await expect(other.getRange('x', { offset: 0, length: 1 })).rejects.toMatchObject({
      ...unavailable,
      message: expect.stringContaining('s3://there-is-none/logs'),
    });
    await other.close();
  });
});

describeWith(['s3'], 'an archive that does not answer', () => {
  let proxy: TcpProxy;
  let store: ArchiveStore;
  beforeAll(async () => {
    const bucket = await freshBucket();
    proxy = await startTcpProxy(bucket.endpoint!);
    store = openS3Store({ ...bucket, endpoint: proxy.url, rangeMs: 300 });
    await store.put('x', inPieces(Buffer.from('content')), never);
  });
  afterAll(async () => {
    await store.close();
    await proxy.close();
  });
  const range = { offset: 0, length: 7 };

  test('a range is UNAVAILABLE at its deadline, and when it can be read again it is', async () => {
    proxy.silence(true);
    await expect(store.getRange('x', range)).rejects.toMatchObject(unavailable);
    proxy.silence(false);
    proxy.refuse(true);
    proxy.cut();
    await expect(store.getRange('x', range)).rejects.toMatchObject(unavailable);
    proxy.refuse(false);
    expect((await store.getRange('x', range)).toString()).toBe('content');
  });

  test('an object is read to its end though its connections break, unless it was replaced meanwhile', async () => {
    const content = randomBytes(36 * 2 ** 20);
    await store.put('large', inPieces(content, 1_000_000), never);
    const pieces: Uint8Array[] = [];
    let cuts = 0;
    let given = 0;
    for await (const piece of store.get('large', never)) {
      pieces.push(piece);
      given += piece.length;
      if (cuts >= 3 || given < cuts * 8 * 2 ** 20) continue;
      cuts += 1;
      proxy.cut();
    }
    expect(cuts).toBe(3);
    expect(Buffer.concat(pieces).equals(content)).toBe(true);

    const reading = store.get('large', never)[Symbol.asyncIterator]();
    await reading.next();
    await store.put('large', inPieces(randomBytes(36 * 2 ** 20), 1_000_000), never);
    proxy.cut();
    const rest = async () => {
      while (!(await reading.next()).done);
    };
    await expect(rest()).rejects.toMatchObject(unavailable);
  });

  test('an upload goes on though connections break', async () => {
    const content = randomBytes(36 * 2 ** 20);
    async function* cutting() {
      let cuts = 0;
      for await (const piece of inPieces(content, 1_000_000)) {
        yield piece;
        if (++cuts % 18 === 0) proxy.cut();
      }
    }
    await store.put('cut', cutting(), never);
    expect((await readAll(store.get('cut', never))).equals(content)).toBe(true);
  });

  test('a read whose signal fires between two pieces ends with it', async () => {
    const ending = new AbortController();
    const reading = store.get('large', ending.signal)[Symbol.asyncIterator]();
    await reading.next();
    ending.abort(new Error('the lease is lost'));
    await expect(reading.next()).rejects.toThrow('the lease is lost');
  });

  test('for a second after two failures in a row reads do not try', async () => {
    let now = 0;
    let tried = 0;
    const counted = {
      ...store,
      getRange(...of: Parameters<ArchiveStore['getRange']>) {
        tried += 1;
        return store.getRange(...of);
      },
    };
    const limited = limitReads(counted, 16, () => now);
    proxy.refuse(true);
    proxy.cut();
    await expect(limited.getRange('x', range)).rejects.toMatchObject(unavailable);
    await expect(limited.getRange('x', range)).rejects.toMatchObject(unavailable);
    await expect(limited.getRange('x', range)).rejects.toThrow('reads have just failed');
    expect(tried).toBe(2);
    proxy.refuse(false);
    now += 1_000;
    expect((await limited.getRange('x', range)).toString()).toBe('content');
    // No object is an answer, after which others go on.
    await expect(limited.getRange('none', range)).rejects.toThrow(NoObject);
    expect((await limited.getRange('x', range)).toString()).toBe('content');
  });

  test('16 reads are in flight, 64 wait, and more are refused', async () => {
    let inFlight = 0;
    let most = 0;
    const gate = Promise.withResolvers<void>();
    const counting: ArchiveStore = {
      ...store,
      async getRange() {
        inFlight += 1;
        most = Math.max(most, inFlight);
        await gate.promise;
        inFlight -= 1;
        return Buffer.from('content');
      },
    };
    const slow = limitReads(counting, 16);
    const reads = Array.from({ length: 80 }, () => slow.getRange('x', range));
    await expect(slow.getRange('x', range)).rejects.toThrow('too many reads wait');
    gate.resolve();
    expect(await Promise.all(reads)).toHaveLength(80);
    expect(most).toBe(16);
    expect((await slow.getRange('x', range)).toString()).toBe('content');
  });
});

/** An archive in a folder, for a laptop, or for a file system that several machines mount. */
import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { newId } from '@caudal/kernel/ids.ts';
import { archiveUnavailable } from './errors.ts';
import { type ArchiveStore, NoObject, type StoredObject } from './types.ts';

const listedAtMost = 1_000;
/** Names of files that are being written; they are no objects. */
const unfinished = '.writing-';

/** Opens the folder, which `put` makes if it is not there. */
export function openFolderStore(folder: string): ArchiveStore {
  const where = resolve(folder);
  const pathOf = (name: string) => join(where, ...name.split('/'));
  const failed = (name: string, error: unknown): Error => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new NoObject(where, name, error);
    return archiveUnavailable(where, (error as Error).message, error);
  };

  return {
    where,
    async put(name, content, signal) {
      const path = pathOf(name);
      const temporary = join(dirname(path), `${unfinished}${newId()}`);
      await mkdir(dirname(path), { recursive: true });
      try {
        await pipeline(Readable.from(content, { objectMode: false }), createWriteStream(temporary, { flush: true }), {
          signal,
        });
        await rename(temporary, path);
        await syncFolder(dirname(path));
      } finally {
        await rm(temporary, { force: true });
      }
    },
    async *get(name, signal) {
      try {
        yield* createReadStream(pathOf(name), { signal }) as AsyncIterable<Buffer>;
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        throw failed(name, error);
      }
    },
    async getRange(name, { offset, length }) {
      let file: FileHandle | undefined;
      try {
        file = await open(pathOf(name));
        const there = Math.max(0, Math.min(length, (await file.stat()).size - offset));
        const { buffer, bytesRead } = await file.read(Buffer.alloc(there), 0, there, offset);
        return buffer.subarray(0, bytesRead);
      } catch (error) {
        throw failed(name, error);
      } finally {
        await file?.close();
      }
    },
    async list(prefix) {
      const found: StoredObject[] = [];
      const entries = await readdir(pathOf(dirname(`${prefix}x`)), { recursive: true, withFileTypes: true }).catch(
        (error: NodeJS.ErrnoException) => {
          if (error.code === 'ENOENT') return [];
          throw failed(prefix, error);
        },
      );
      for (const entry of entries) {
        const path = join(entry.parentPath, entry.name);
        const name = path
          .slice(where.length + 1)
          .split(sep)
          .join('/');
        if (!entry.isFile() || entry.name.startsWith(unfinished) || !name.startsWith(prefix)) continue;
        if (found.length >= listedAtMost) break;
        found.push({ name, bytes: (await stat(path)).size });
      }
      return found.sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    async close() {},
  };
}

/** So that the new name survives a crash of the machine, as the content does. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder);
  await handle.sync().finally(() => handle.close());
}

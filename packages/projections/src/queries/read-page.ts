/**
 * Reads the documents of a page in steps, until they are as many as asked for or have the bytes of a page. So what a page takes while
 * it is read is bounded by a step and not by the size of the page.
 */
import { jsonBytes, pageBytes } from '@caudal/kernel/page-bytes.ts';
import type { Find, StoredDocument } from '../stores/store.ts';

/** The most documents of a step. A page of the usual size takes one, the largest three. */
const step = 34;

type After = Find['after'];

export interface PageReading {
  /** The most documents of the page. */
  limit: number;
  after: After;
  find(after: After, limit: number): Promise<StoredDocument[]>;
  placeOf(document: StoredDocument): NonNullable<After>;
}

/** The page, and whether there is more behind it. */
export async function readPage({
  limit,
  after,
  find,
  placeOf,
}: PageReading): Promise<{ documents: StoredDocument[]; more: boolean }> {
  const documents: StoredDocument[] = [];
  let bytes = 0;
  let behind = after;
  for (;;) {
    // One more than fits, which says that there is more.
    const fitting = documents.length === 0 ? step : Math.ceil((pageBytes - bytes) / (bytes / documents.length)) + 1;
    const count = Math.min(limit + 1 - documents.length, step, fitting);
    const found = await find(behind, count);
    for (const document of found) {
      if (documents.length === limit || bytes >= pageBytes) return { documents, more: true };
      documents.push(document);
      bytes += jsonBytes(document.view);
    }
    if (found.length < count) return { documents, more: false };
    behind = placeOf(found.at(-1)!);
  }
}

/**
 * The progress of a rebuild, beside the views in their store: a builder that takes over goes on from there.
 *
 * It is written after the views that it stands for, so it never claims more than is there. It names the attempt that has
 * written it: a builder that has lost its lease is refused.
 */
import { type Collection, MissingCollection, type StoredDocument, type Write } from '../stores/store.ts';
import { rebuildLost } from './builder.ts';
import { type FailedStream, heldAtMost } from './failures.ts';
import { newParts, type Part } from './parts.ts';

export interface Progress {
  parts: Part[];
  failed: { before: ReadonlyMap<string, number>; count: number };
  /** For the check before the switch: how many streams were seen, and some of them, picked at random. */
  sample: { of: number; streams: string[] };
}

/** What an earlier builder has left can't be built on: another generation must be begun. */
export class Unusable extends Error {
  override name = 'Unusable';
}

export interface ProgressStore {
  /** What the last builder has saved; undefined if there is nothing of this build. */
  load(): Promise<{ progress: Progress; failed: FailedStream[] } | undefined>;
  /** Throws REBUILD_LOST if a later attempt has begun. */
  save(progress: Progress, failed: Map<string, FailedStream | undefined>): Promise<void>;
}

interface Saved {
  build: string;
  attempt: number;
  parts: { positions: Record<string, number>; events: number }[];
  before: Record<string, number>;
  failedCount: number;
  sample: Progress['sample'];
}

const progressId = 'progress';
const failedPrefix = 'failed/';
const pageSize = 500;
/** Only a builder that has not noticed yet that it has lost its lease writes at the same time. */
const maxAttempts = 5;

/** `build` names the generation's building, which several attempts may take. */
export function openProgress({
  collection,
  projection,
  build,
}: {
  collection: Collection;
  projection: { name: string; version: number };
  build: { id: string; attempt: number };
}): ProgressStore {
  const isOurs = (saved: Saved | undefined): saved is Saved => saved?.build === build.id;

  async function loadSaved(): Promise<{ document: StoredDocument | undefined; saved: Saved | undefined }> {
    const [document] = await collection.load([progressId]);
    return { document, saved: document?.view as Saved | undefined };
  }

  async function saveFailed(failed: Map<string, FailedStream | undefined>): Promise<void> {
    const all = [...failed];
    for (let place = 0; place < all.length; place += pageSize) {
      let open = all.slice(place, place + pageSize);
      for (let attempt = 1; open.length > 0 && attempt <= maxAttempts; attempt++) {
        const stored = await collection.load(open.map(([stream]) => failedPrefix + stream));
        const known = new Map(stored.map((document) => [document.id, document]));
        const writes = open.map(([stream, value]) =>
          next(failedPrefix + stream, known.get(failedPrefix + stream), value),
        );
        const { lost } = await written(collection, writes);
        open = open.filter(([stream]) => lost.includes(failedPrefix + stream));
      }
    }
  }

  return {
    async load() {
      // The builder may have died before it made the collection.
      const { saved } = await loadSaved().catch((error: unknown) => {
        if (error instanceof MissingCollection) return { saved: undefined };
        throw error;
      });
      if (!isOurs(saved)) return undefined;
      const parts = newParts(saved.parts.length);
      for (const [number, part] of parts.entries()) {
        const { positions, events } = saved.parts[number]!;
        part.positions = new Map(Object.entries(positions));
        part.events = events;
      }
      const failed: FailedStream[] = [];
      await collection.refresh();
      for (let afterId = failedPrefix; failed.length < heldAtMost; ) {
        const page = await collection.scan({ afterId, limit: pageSize });
        const ofStreams = page.filter(({ id }) => id.startsWith(failedPrefix));
        failed.push(...ofStreams.flatMap(({ view }) => (view === undefined ? [] : [view as FailedStream])));
        if (ofStreams.length < pageSize) break;
        afterId = ofStreams.at(-1)!.id;
      }
      const before = new Map(Object.entries(saved.before));
      return { progress: { parts, failed: { before, count: saved.failedCount }, sample: saved.sample }, failed };
    },
    async save({ parts, failed: { before, count }, sample }, failed) {
      const view: Saved = {
        build: build.id,
        attempt: build.attempt,
        parts: parts.map(({ positions, events }) => ({ positions: Object.fromEntries(positions), events })),
        before: Object.fromEntries(before),
        failedCount: count,
        sample: { of: sample.of, streams: [...sample.streams] },
      };
      // First: a position that is saved must not hide a failure before it.
      await saveFailed(failed);
      for (let attempt = 1; attempt <= maxAttempts; attempt++) {
        const { document, saved } = await loadSaved();
        if (isOurs(saved) && saved.attempt > build.attempt) throw rebuildLost(projection);
        const { lost } = await written(collection, [next(progressId, document, view)]);
        if (lost.length === 0) return;
      }
      throw rebuildLost(projection);
    },
  };
}

function next(id: string, before: StoredDocument | undefined, view: unknown): Write {
  return { id, revision: (before?.revision ?? 0) + 1, guard: before?.guard, streams: {}, keys: {}, view };
}

async function written(collection: Collection, writes: Write[]): Promise<{ lost: string[] }> {
  const { lost, refused } = await collection.save(writes);
  if (refused.length > 0) throw refused[0]!.error;
  return { lost };
}

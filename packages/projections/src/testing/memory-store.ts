/**
 * A store of views in memory, for tests that need thousands of runs in random orders. It guards writes by revision, as
 * the real stores do; their contract tests check that.
 */
import { MissingCollection, type StoredDocument, type ViewStore } from '../stores/store.ts';
import { type FoundDocument, findIn } from './memory-find.ts';

/** It aggregates and searches nothing. */
export function memoryStore(): ViewStore {
  const collections = new Map<string, Map<string, FoundDocument>>();
  const copy = (document: StoredDocument): StoredDocument => structuredClone(document);
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  return {
    name: 'memory',
    searches: false,
    viewsPerCall: Number.POSITIVE_INFINITY,
    collection(name) {
      const documents = () => {
        const found = collections.get(name);
        if (!found) throw new MissingCollection(name);
        return found;
      };
      const live = () => [...documents().values()].filter(({ document }) => document.view !== undefined);
      return {
        async create() {
          if (!collections.has(name)) collections.set(name, new Map());
        },
        async drop() {
          collections.delete(name);
        },
        async load(ids) {
          await turn();
          return ids.flatMap((id) => documents().get(id)?.document ?? []).map(copy);
        },
        async save(writes) {
          await turn();
          const lost = writes.filter(
            ({ id, revision }) => (documents().get(id)?.document.revision ?? 0) !== revision - 1,
          );
          for (const write of writes) {
            const { id, revision, streams, view, keys } = write;
            const document = copy({ id, revision, streams, view: plain(view) });
            if (!lost.includes(write)) documents().set(id, { document, keys });
          }
          return { lost: lost.map(({ id }) => id), refused: [] };
        },
        async count() {
          return live().length;
        },
        async scan({ afterId = '', limit }) {
          const all = [...documents().values()].map(({ document }) => document);
          const sorted = all.sort((a, b) => (a.id < b.id ? -1 : 1));
          return sorted
            .filter(({ id }) => id > afterId)
            .slice(0, limit)
            .map(copy);
        },
        async refresh() {},
        async find(find) {
          return findIn(live(), find).map(copy);
        },
        async aggregate() {
          throw new Error('this store aggregates nothing');
        },
      };
    },
    async close() {},
  };
}

function plain(view: unknown): unknown {
  return view === undefined ? undefined : JSON.parse(JSON.stringify(view));
}

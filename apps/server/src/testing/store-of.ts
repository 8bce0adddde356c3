/** A store of views with one collection, for tests of what stands before a store. */
import type { Collection, ViewStore } from '@caudal/projections/stores/store.ts';

/** The store of this collection, of which only what the test calls has to be there. */
export const storeOf = (collection: Partial<Collection>): ViewStore => ({
  name: 'the store',
  searches: false,
  viewsPerCall: 1,
  collection: () => collection as Collection,
  close: async () => {},
});

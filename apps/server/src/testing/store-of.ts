/** A store of views with one collection, for tests of the layers in front of a store. */
import type { Collection, ViewStore } from '@caudal/projections/stores/store.ts';

/** The store of this collection, which needs only the methods that the test calls. */
export const storeOf = (collection: Partial<Collection>): ViewStore => ({
  name: 'the store',
  searches: false,
  viewsPerCall: 1,
  collection: () => collection as Collection,
  close: async () => {},
});

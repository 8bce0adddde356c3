/** The reasons that views and rebuilds answer with, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  NOT_YET_VISIBLE: {
    code: 'UNAVAILABLE',
    meaning: 'The view has not seen the writes that the consistency token names. Try again with the same token.',
  },
  WRITE_LOST: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The write that the consistency token names was lost in a fail-over. Leave the token out, look, and repeat the command if need be.',
  },
  READ_STRENGTH_NOT_SERVED: {
    code: 'INVALID_ARGUMENT',
    meaning:
      'STRONG is for one resource by its id. For lists, counts, searches and views of many streams, send the consistency token of what must be included.',
  },
  VIEW_NOT_BUILT: { code: 'UNAVAILABLE', meaning: 'The view is being built for the first time. Try again.' },
  PAGE_TOKEN_EXPIRED: {
    code: 'INVALID_ARGUMENT',
    meaning:
      'The page token belongs to a generation of the view that was dropped, or to an order that the list had in another version. Start from the first page.',
  },
  QUERY_TOO_COSTLY: {
    code: 'RESOURCE_EXHAUSTED',
    meaning:
      'Listing, counting, adding up or searching the views takes too long, or makes too many groups. Narrow the conditions, or group by less.',
  },
  TOO_MANY_AGGREGATES: {
    code: 'RESOURCE_EXHAUSTED',
    meaning: 'The process runs as many counts and sums as it may at once. Try again.',
  },
  VIEW_CONTENDED: {
    code: 'ABORTED',
    meaning: 'Projectors kept writing the same view. The event is handled again; no client sees this.',
  },
  GENERATIONS_CONTENDED: { code: 'ABORTED', meaning: 'Other processes change the generations of the view. Try again.' },
  REBUILD_RUNNING: { code: 'ABORTED', meaning: 'Another process is building this view. Wait for it.' },
  REBUILD_LOST: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'Another process has taken over this rebuild, since this one did not renew its lease in time. Wait for it.',
  },
  REBUILD_TOO_SLOW: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The new generation does not catch up: events arrive faster than the store takes them. Try with less load.',
  },
  REBUILD_FAILED_EVENTS: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The projection can not handle some events. The old generation stays; fix the projection.',
  },
  REBUILD_DIFFERS: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The new generation is not what the log says. The old one stays; fix the projection.',
  },
  REBUILD_INCOMPLETE_LOG: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The log lacks events of a stream before later ones. Rebuild from a complete log.',
  },
} satisfies Record<string, Reason>;

/** What views and their building answer by themselves, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  NOT_YET_VISIBLE: {
    code: 'UNAVAILABLE',
    meaning: 'The view has not seen yet what the consistency token names. Try again with the same token.',
  },
  VIEW_NOT_BUILT: { code: 'UNAVAILABLE', meaning: 'The view is being built for the first time. Try again.' },
  PAGE_TOKEN_EXPIRED: {
    code: 'INVALID_ARGUMENT',
    meaning: 'The page token is of a view that was rebuilt since. Start from the first page.',
  },
  QUERY_TOO_COSTLY: {
    code: 'RESOURCE_EXHAUSTED',
    meaning:
      'Counting or adding up the views takes too long, or makes too many groups. Narrow the conditions, or group by less.',
  },
  TOO_MANY_AGGREGATES: {
    code: 'RESOURCE_EXHAUSTED',
    meaning: 'The process counts and adds up views for as many callers as it may. Try again.',
  },
  VIEW_CONTENDED: {
    code: 'ABORTED',
    meaning: 'Projectors kept writing the same view. The event is handled again; no client sees this.',
  },
  GENERATIONS_CONTENDED: { code: 'ABORTED', meaning: 'Others change the generations of the view. Try again.' },
  REBUILD_RUNNING: { code: 'ABORTED', meaning: 'Somebody builds this view already. Wait for it.' },
  REBUILD_LOST: {
    code: 'FAILED_PRECONDITION',
    meaning: 'Another process has taken over this rebuild, since this one was silent for too long.',
  },
  REBUILD_TOO_SLOW: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The new generation does not get level with the log: events come faster than it takes them.',
  },
  REBUILD_FAILED_EVENTS: {
    code: 'FAILED_PRECONDITION',
    meaning: 'Events that the projection can not handle. The old generation stays; mend the projection.',
  },
  REBUILD_DIFFERS: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The new generation is not what the log says. The old one stays; mend the projection.',
  },
  REBUILD_INCOMPLETE_LOG: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The log lacks events that come before others. Rebuild from a log that is whole.',
  },
} satisfies Record<string, Reason>;

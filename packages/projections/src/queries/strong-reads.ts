/** Strong reads: what the log has now of the streams of one view. docs/read-strength.md */
import { domainOf } from '@caudal/contract/entity.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { entitiesOf, viewOfStream } from '../events.ts';
import { type AnyProjection, isMultiStream } from '../multi-stream/types.ts';
import type { StreamVersion } from './seen-checks.ts';

export interface NewestOptions<V> {
  projection: AnyProjection<V>;
  /** By domain; those of the projection's entities. */
  logs: ReadonlyMap<string, LogReader>;
  id: string;
  /** What the view has of its streams; empty if there is none. */
  streams: Record<string, number>;
}

/** A view's stream that is further ahead than this is read in parts, so many at most. */
const eventsAtOnce = 1_000;
const maxParts = 10;

/**
 * The versions, in the logs, of the streams that bear the view's id, and of those that the view has already; only those that it lacks.
 * A stream of another name that is new to the view is not among them. Throws INVALID_ARGUMENT for a view of many streams, UNAVAILABLE
 * if the view is too far behind, or a log can't be reached.
 */
export async function newestOfView<V>({ projection, logs, id, streams }: NewestOptions<V>): Promise<StreamVersion[]> {
  if (isMultiStream(projection) || projection.kind === 'one-per-event') throw notServedStrongly();
  const own = entitiesOf(projection)
    .map((entity) => `${entity}/${id}`)
    .filter((stream) => viewOfStream(projection, stream)?.view === id);
  const newest = new Map<string, StreamVersion>();
  const byLog = Map.groupBy(new Set([...own, ...Object.keys(streams)]), domainOf);
  const reading = [...byLog].map(async ([domain, names]) => {
    const log = logs.get(domain);
    if (!log) return;
    const after = (stream: string) => newest.get(stream)?.version ?? streams[stream] ?? 0;
    for (let part = 1; ; part++) {
      const cursors = names.map((stream) => ({ stream, afterVersion: after(stream) }));
      const events = await log.readStreams(cursors, { limit: eventsAtOnce });
      for (const { stream, version, epoch } of events) newest.set(stream, { stream, version, ...(epoch && { epoch }) });
      if (events.length < eventsAtOnce) return;
      if (part === maxParts) throw tooFarBehind(id);
    }
  });
  await Promise.all(reading);
  return [...newest.values()];
}

/** The refusal of a strong read of what is no single view. */
export function notServedStrongly(): CaudalError {
  const description =
    'STRONG is for one resource by its id: send the consistency token of what must be included instead';
  return new CaudalError('INVALID_ARGUMENT', 'READ_STRENGTH_NOT_SERVED', `The header read-strength: ${description}.`, {
    violations: [{ field: 'read-strength', description }],
  });
}

function tooFarBehind(id: string): CaudalError {
  return new CaudalError('UNAVAILABLE', 'NOT_YET_VISIBLE', 'This view is far behind its log: try again later.', {
    retryAfterMs: 1_000,
    metadata: { view: id },
  });
}

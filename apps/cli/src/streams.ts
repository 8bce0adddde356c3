/** Finds the log of a stream by the stream's name. */
import { entities } from '@caudal/contract/entities.ts';
import { type Entity, entityOfStream, idOfStream } from '@caudal/contract/entity.ts';
import { selectStreamHeads } from '@caudal/eventlog/streams.ts';
import type { App } from '@caudal/server/app.ts';
import type { LocalContext } from '@caudal/server/local-context.ts';
import { closestNames, pick, UsageError } from './usage.ts';

export interface FoundStream {
  stream: string;
  entity: Entity;
  local: LocalContext;
}

const similarAtMost = 3;
const lookedThrough = 1_000;

/** The stream, which exists. Throws UsageError with similar names. */
export async function findStream({ locals }: App, stream: string): Promise<FoundStream> {
  if (!/^[^/]+\/.+$/.test(stream)) {
    throw new UsageError(
      `"${stream}" is not the name of a stream, which is <context>.<entity>/<id>: "orders.order/1001".`,
    );
  }
  const byName = new Map((entities as unknown as Entity[]).map((entity) => [entity.name, entity]));
  const entity = pick('entity', entityOfStream(stream), byName);
  const local = locals.find(({ context }) => context.name === entity.domain);
  if (!local)
    throw new UsageError(
      `The stream is of the context ${entity.domain}, which is not in CAUDAL_CONTEXTS: add it there.`,
    );
  const [head] = await selectStreamHeads(local.database, { prefix: stream, limit: 1 });
  if (head?.stream === stream) return { stream, entity, local };
  const similar = await similarStreams(local, entity, stream);
  const hint = similar.length > 0 ? ` Similar ones: ${similar.join(', ')}.` : '';
  throw new UsageError(`There is no stream "${stream}".${hint}`);
}

/** Streams that begin with the same id first, then any of the entity. */
async function similarStreams({ database }: LocalContext, entity: Entity, stream: string): Promise<string[]> {
  const id = idOfStream(stream);
  for (const begin of [id.slice(0, Math.ceil(id.length / 2)), '']) {
    const heads = await selectStreamHeads(database, { prefix: entity.stream(begin), limit: lookedThrough });
    const names = heads.map((head) => head.stream);
    if (names.length === 0) continue;
    const near = closestNames(stream, names, similarAtMost);
    return near.length > 0 ? near : names.slice(0, similarAtMost);
  }
  return [];
}

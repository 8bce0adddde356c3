/** What the handlers of a context are, before anything of them runs: for deployments, migrations and policies. */
import type { Settings } from '@caudal/config/config.ts';
import type { Context, Tools } from '@caudal/context/context.ts';
import { partsOf } from '@caudal/messaging/rabbitmq/slots.ts';
import { deadLetterQueueName, queueName } from '@caudal/messaging/rabbitmq/topology.ts';
import { isMultiStream } from '@caudal/projections/multi-stream/types.ts';
import { generationName } from '@caudal/projections/projector.ts';
import type { TimedHandler } from '@caudal/sagas/saga-handler.ts';
import type { RuntimeValues } from '../settings/settings.ts';

/** A handler that has queues. */
export interface HandlerDefinition {
  /** Of the projection or the saga's handler. */
  name: string;
  kind: 'projection' | 'saga';
  /**
   * A regular expression for its queues' names without the part: `order-details\.v2\.[0-9]+`, all generations of a
   * projection. Without the prefix of CAUDAL_NAMESPACE.
   */
  pattern: string;
  parts: number;
}

/** The handlers of a context that have queues: not the multi-stream projections. */
export async function handlerDefinitions(context: Context, values: RuntimeValues): Promise<HandlerDefinition[]> {
  const projections = context.projections.flatMap(({ projection }) =>
    isMultiStream(projection)
      ? []
      : [
          {
            name: projection.name,
            kind: 'projection' as const,
            pattern: generations(projection),
            parts: partsOf(projection),
          },
        ],
  );
  const sagas = (await sagaDefinitions(context, values)).map((saga) => ({
    name: saga.name,
    kind: 'saga' as const,
    pattern: literally(queueName(saga.name)),
    parts: partsOf(saga),
  }));
  return [...projections, ...sagas];
}

/** Instead of settings with which a saga would look for an external system, or start one. */
const placeholders = { PAYMENTS_GATEWAY_URL: 'http://localhost', PAYMENTS_GATEWAY: undefined };

/** The handlers of a context's sagas, of which nothing may be called: they are made without what they work with. */
export async function sagaDefinitions(
  context: Context,
  values: RuntimeValues,
): Promise<Pick<TimedHandler, 'name' | 'entities' | 'parts' | 'from'>[]> {
  const ending = new AbortController();
  const nothing = {} as never;
  const tools: Tools<Settings> = {
    aggregates: nothing,
    clock: nothing,
    ids: nothing,
    settings: { ...values, ...placeholders } as Tools<Settings>['settings'],
    client: () => nothing,
    openTexts: nothing,
    sealed: nothing,
    tables: nothing,
  };
  const handlers = await context.sagas({
    ...tools,
    ...{ database: nothing, signal: ending.signal, development: false, tokenLifetimeMs: 0 },
  });
  // What they have made ready goes again.
  ending.abort();
  return handlers;
}

/** `order-details\.v1\.[0-9]+`: with any number at its end; not the queue of dead letters. */
function generations(projection: { name: string; version: number }): string {
  const [first, second] = [1, 2].map((number) => queueName(generationName(projection, number)));
  const stem = first!.slice(0, -1);
  if (`${stem}2` !== second) throw new Error(`${first} does not end in the number of its generation.`);
  const pattern = `${literally(stem)}[0-9]+`;
  if (new RegExp(`^${pattern}$`).test(deadLetterQueueName(generationName(projection, 1))))
    throw new Error(`${pattern} would count the dead letters of ${projection.name} too.`);
  return pattern;
}

const literally = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

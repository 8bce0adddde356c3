/**
 * A new event never breaks a view, an aggregate or a saga. Those of every context get every event of the contract, and
 * one that only a newer version has. New projections, aggregates and sagas are tested without a change here.
 */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { loadConfig } from '@caudal/config/config.ts';
import type { Context } from '@caudal/context/context.ts';
import { entities } from '@caudal/contract/entities.ts';
import { domainOf } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { isMultiStream } from '@caudal/projections/multi-stream/types.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { deciderFaults, handlerFaults, projectionFaults } from '@caudal/testing/every-event.ts';
import { gatheringFaults } from '@caudal/testing/every-gathered-event.ts';
import { type MemoryLog, memoryLog } from '@caudal/testing/memory-log.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { contexts } from './contexts.ts';
import { migrateContext } from './local-context.ts';

const projections = contexts.flatMap((context) => context.projections.map(({ projection }) => projection));
const deciders = contexts.flatMap((context) => context.deciders);

describe('every event of the contract', () => {
  test.each(projections.map((projection) => [projection.name, projection] as const))(
    'leaves the views of %s valid',
    (_, projection) => {
      const faults = isMultiStream(projection) ? gatheringFaults(projection) : projectionFaults(projection);
      expect(faults).toEqual([]);
    },
  );

  test.each(deciders.map((decider) => [decider.entity.name, decider] as const))(
    'leaves a valid state of %s',
    (_, decider) => {
      expect(deciderFaults(decider)).toEqual([]);
    },
  );

  test('belongs to an aggregate of a context, so none is left out', () => {
    expect(deciders.map(({ entity }) => entity.name).sort()).toEqual(entities.map(({ name }) => name).sort());
  });
});

describeWith(['postgres'], 'every event of the contract, given to the sagas', () => {
  let fresh: FreshDatabase;
  beforeAll(async () => {
    fresh = await freshDatabase();
  });
  afterAll(() => fresh.drop());

  /** The saga handlers of a context over its own log; all other contexts are unreachable. */
  async function start(context: Context) {
    await migrateContext(fresh.url, context);
    const database = openDatabase({ url: fresh.url, schema: context.name });
    const ended = new AbortController();
    const log = memoryLog({ domain: context.name });
    const away = new Proxy(
      {},
      { get: (_, method) => () => Promise.reject(unavailable(`${String(method)} of a peer`)) },
    );
    const aggregates = openAggregates({ log: log.connect(), clock: systemClock, ids: newId });
    const handlers = await context.sagas({
      aggregates,
      clock: systemClock,
      ids: newId,
      settings: loadConfig(context.settings, { env: {} }),
      client: () => away as never,
      openTexts: async (texts) => texts.map(({ text }) => text),
      tables: { database: {} as never, seals: () => Promise.reject(new Error('no seals')) },
      sealed: aggregates,
      database,
      signal: ended.signal,
      development: true,
      tokenLifetimeMs: 0,
    });
    return {
      handlers,
      log,
      async stop() {
        ended.abort();
        await Promise.all(handlers.map((handler) => handler.settled()));
        await aggregates.drain();
        await database.close();
      },
    };
  }

  /** Adds the events of the log's own domain to it. */
  async function hold(log: MemoryLog, events: RecordedEvent[]): Promise<void> {
    for (const event of events.filter(({ stream }) => domainOf(stream) === log.domain))
      expect(await log.append({ stream: event.stream, expected: event.version - 1, events: [event] })).toMatchObject({
        kind: 'appended',
      });
  }

  test.each(contexts.map((context) => [context.name, context] as const))(
    'of %s: none fails, and none of a newer version is skipped',
    async (_, context) => {
      const { handlers, log, stop } = await start(context);
      try {
        for (const handler of handlers)
          expect(await handlerFaults({ handler, entities, append: (events) => hold(log, events) })).toEqual([]);
      } finally {
        await stop();
      }
    },
    60_000,
  );
});

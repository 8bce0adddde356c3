/** Projections, logs and feeds for the tests of this package. */
import { type EventOf, order, payment, wallet } from '@caudal/contract/entities.ts';
import type { Entity, EventCase } from '@caudal/contract/entity.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { AnyHandler } from '@caudal/messaging/types.ts';
import { type MemoryLog, memoryLog } from '@caudal/testing/memory-log.ts';
import { ignored, on, type Projection } from '../types.ts';

type OrderEvent = EventOf<typeof order>;
type PaymentEvent = EventOf<typeof payment>;
type WalletEvent = EventOf<typeof wallet>;

/** An order as its buyer sees it: fed by the order and its payment. */
export interface Details {
  customer: string;
  status: string;
  total: bigint;
  paid: boolean;
  created: Date | undefined;
}

const blank: Details = { customer: '', status: '', total: 0n, paid: false, created: undefined };

/** An event with this reason can't be handled. */
export const poison = 'poison';

export const details: Projection<Details> = {
  name: 'test-details',
  version: 1,
  codec: {
    toJSON: ({ total, created, ...view }) => ({ ...view, total: String(total), created: created?.toISOString() }),
    fromJSON(json) {
      const { total, created, ...view } = json as Details & { total: string; created?: string };
      return { ...view, total: BigInt(total), created: created === undefined ? undefined : new Date(created) };
    },
  },
  follows: [
    on<Details, OrderEvent>(order, {
      view: ({ id }) => id,
      evolve(view = blank, { event, at }) {
        if (event.$case === 'rejected' && event.value.reason === poison) throw new Error(poison);
        if (event.$case === 'created') {
          const { customerId, total } = event.value;
          return { ...view, customer: customerId, total: total?.minorUnits ?? 0n, status: 'created', created: at };
        }
        return { ...view, status: event.$case };
      },
    }),
    on<Details, PaymentEvent>(payment, {
      view: ({ id }) => id,
      evolve: (view = blank, { event }) => (event.$case === 'succeeded' ? { ...view, paid: true } : view),
    }),
  ],
  keys: {
    customer: { type: 'keyword', of: (view) => view.customer },
    total: { type: 'long', summable: true, of: (view) => view.total },
    created: { type: 'timestamp', of: (view) => view.created },
  },
  indexes: [['customer', 'created'], ['total']],
};

/** What happened to a wallet: a document an event. */
export const movements: Projection<{ wallet: string; amount: bigint }> = {
  name: 'test-movements',
  version: 1,
  kind: 'one-per-event',
  codec: {
    toJSON: ({ wallet, amount }) => ({ wallet, amount: String(amount) }),
    fromJSON(json) {
      const { wallet, amount } = json as { wallet: string; amount: string };
      return { wallet, amount: BigInt(amount) };
    },
  },
  follows: [
    on<{ wallet: string; amount: bigint }, WalletEvent>(wallet, {
      view: ({ id }) => id,
      evolve(_, { id, event }) {
        if (event.$case === 'frozen' && event.value.reason === poison) throw new Error(poison);
        return event.$case === 'deposited' ? { wallet: id, amount: event.value.amount } : ignored;
      },
    }),
  ],
  keys: { wallet: { type: 'keyword', of: (view) => view.wallet } },
  indexes: [['wallet']],
};

export function created(customerId: string, minorUnits = 100n): OrderEvent {
  const total = { minorUnits, currency: 'GBP' };
  const rest = { orderId: '', country: '', lines: [], paymentMethod: undefined, reference: '', attributes: {} };
  return { $case: 'created', value: { customerId, total, ...rest } };
}

export const confirmed: OrderEvent = { $case: 'confirmed', value: { customerId: 'c1' } };
export const poisonous: OrderEvent = { $case: 'rejected', value: { reason: poison, customerId: 'c1' } };
export const succeeded: PaymentEvent = { $case: 'succeeded', value: { orderId: '', gatewayReference: '' } };

export function deposited(amount: bigint): WalletEvent {
  return { $case: 'deposited', value: { amount, reference: '', balance: 0n, currency: 'GBP' } };
}

export const frozen: WalletEvent = { $case: 'frozen', value: { reason: poison } };

export interface TestLogs {
  logs: ReadonlyMap<string, MemoryLog>;
  /** Appends events to a stream and returns them as recorded. */
  append<E extends EventCase>(entity: Entity<E>, id: string, ...events: E[]): Promise<RecordedEvent[]>;
  /** All events of these domains, in the order of their logs. */
  all(): RecordedEvent[];
}

export function testLogs(): TestLogs {
  const logs = new Map(['orders', 'payments'].map((domain) => [domain, memoryLog({ domain })]));
  const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };
  return {
    logs,
    async append(entity, id, ...events) {
      const log = logs.get(entity.domain)!;
      const now = new Date(Date.UTC(2026, 0, 1) + log.events.length * 1000);
      const stream = entity.stream(id);
      await log.append({
        stream,
        expected: 'any',
        events: events.map((event) => newEvent({ entity, event, origin, now })),
      });
      return log.events.filter((event) => event.stream === stream).slice(-events.length);
    },
    all: () => [...logs.values()].flatMap(({ events }) => events),
  };
}

/**
 * Feeds a handler from the logs, from the given positions on, as messaging's log feed does, but without checkpoints.
 */
export function feed(
  handler: AnyHandler,
  logs: ReadonlyMap<string, LogReader>,
  positions: ReadonlyMap<string, number> = new Map(),
): Running {
  const stopping = new AbortController();
  const { signal } = stopping;
  const running = Promise.all(
    [...logs.values()].map(async (log) => {
      let position = positions.get(log.domain) ?? 0;
      while (!signal.aborted) {
        const { events } = await log.readLog(position, { limit: 20, waitMs: 50, signal });
        const wanted = events.filter(({ stream }) => handler.entities.some((name) => stream.startsWith(`${name}/`)));
        await handler.handle(wanted);
        position = events.at(-1)?.position ?? position;
        await sleep(1, signal);
      }
    }),
  );
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

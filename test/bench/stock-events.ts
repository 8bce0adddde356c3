/** Events of stock, as its aggregates make them. */
import { stock } from '@caudal/contract/entities.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import type { NewEvent } from '@caudal/eventlog/types.ts';
import type { StockEvent } from '@caudal/service-inventory/domain/stock.ts';

const origin = { actor: 'bench', causationId: 'bench', correlationId: 'bench', traceparent: '' };

const encode = (event: StockEvent): NewEvent => newEvent({ entity: stock, event, origin, now: new Date() });

export const streamOf = (productId: string) => stock.stream(productId);

export const created = (productId: string) =>
  encode({ $case: 'created', value: { productId, kind: 'standard', policy: {}, quantity: 10n, available: 10n } });

/** The next event after `n` others. */
export const restocked = (n: number) =>
  encode({ $case: 'restocked', value: { quantity: 1n, available: BigInt(10 + n) } });

/**
 * Stock is never oversold. The pieces are counted from the events by rules of three lines, not by the code under test.
 */
import { groupBy, type LogEvent } from './log-events.ts';

interface Count {
  onHand: bigint;
  /** By reservation. */
  reserved: Map<string, bigint>;
  committed: Map<string, bigint>;
}

export interface StockReport {
  found: string[];
  /** Pieces that left the stock and did not return, by reservation. */
  sold: Map<string, bigint>;
  /** Pieces that are still reserved. */
  open: Map<string, bigint>;
}

export function checkStock(events: LogEvent[]): StockReport {
  const report: StockReport = { found: [], sold: new Map(), open: new Map() };
  const items = groupBy(
    events.filter(({ entity }) => entity === 'inventory.stock'),
    ({ id }) => id,
  );
  for (const [id, item] of items) {
    const count: Count = { onHand: 0n, reserved: new Map(), committed: new Map() };
    for (const event of item) {
      const wrong = apply(count, event);
      const reserved = sum(count.reserved.values());
      const at = `${id} at version ${event.version} (${event.type})`;
      if (wrong) report.found.push(`${at}: ${wrong}`);
      if (reserved > count.onHand) report.found.push(`${at}: ${reserved} reserved of ${count.onHand}: oversold`);
      const { available } = event.value;
      if (available !== undefined && available !== count.onHand - reserved)
        report.found.push(`${at}: says ${available} are available, and ${count.onHand - reserved} are`);
    }
    addAll(report.sold, count.committed);
    addAll(report.open, count.reserved);
  }
  return report;
}

/** Counts the event; returns what is impossible about it. */
function apply(count: Count, { type, value }: LogEvent): string | undefined {
  const { reservationId, quantity } = value;
  switch (type) {
    case 'inventory.stock.created.v1':
    case 'inventory.stock.restocked.v1':
      count.onHand += quantity;
      return undefined;
    case 'inventory.stock.adjusted.v1':
      count.onHand += value.delta;
      return undefined;
    case 'inventory.stock.reserved.v1':
      if (count.reserved.has(reservationId)) return `${reservationId} is reserved twice`;
      count.reserved.set(reservationId, quantity);
      return undefined;
    case 'inventory.stock.committed.v1':
      if (count.reserved.get(reservationId) !== quantity) return `${reservationId} is committed and was not reserved`;
      count.reserved.delete(reservationId);
      count.committed.set(reservationId, quantity);
      count.onHand -= quantity;
      return undefined;
    case 'inventory.stock.released.v1':
    case 'inventory.stock.expired.v1':
      if (!count.reserved.delete(reservationId)) return `${reservationId} is released and was not reserved`;
      return undefined;
    case 'inventory.stock.returned.v1':
      if ((count.committed.get(reservationId) ?? 0n) < quantity) return `${reservationId} is returned and was not sold`;
      count.committed.set(reservationId, count.committed.get(reservationId)! - quantity);
      if (count.committed.get(reservationId) === 0n) count.committed.delete(reservationId);
      count.onHand += quantity;
      return undefined;
    default:
      return undefined;
  }
}

const sum = (values: Iterable<bigint>) => [...values].reduce((total, value) => total + value, 0n);

function addAll(total: Map<string, bigint>, more: Map<string, bigint>): void {
  for (const [id, quantity] of more) total.set(id, (total.get(id) ?? 0n) + quantity);
}

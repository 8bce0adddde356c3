/** Every acknowledged command is in the logs once, a refused one is not, and an unanswered one is at most once. */
import type { Operation } from '../history.ts';
import { groupBy, type LogEvent } from './log-events.ts';

/** The event that a command must have written if it was done. Absent: a repeat may find nothing left to do. */
const written: Record<string, string> = {
  PlaceOrder: 'orders.order.created.v1',
  Deposit: 'payments.wallet.deposited.v1',
  Withdraw: 'payments.wallet.withdrawn.v1',
  Transfer: 'payments.wallet.transfer_sent.v1',
  Restock: 'inventory.stock.restocked.v1',
  AdjustStock: 'inventory.stock.adjusted.v1',
  ReserveStock: 'inventory.stock.reserved.v1',
};

/** The event that undoes what a command had begun before it was refused. */
const undoneBy: Record<string, string> = {
  'inventory.stock.reserved.v1': 'inventory.stock.released.v1',
  'payments.wallet.transfer_sent.v1': 'payments.wallet.transfer_returned.v1',
};
/** Events without effect: they record a refusal. */
const notes = new Set(['payments.wallet.transfer_refused.v1', 'inventory.stock.barred.v1']);

/** Returns what does not hold, one line each. */
export function checkCommands(operations: Operation[], events: LogEvent[]): string[] {
  const caused = groupBy(
    events.filter(({ causationId }) => causationId),
    ({ causationId }) => causationId,
  );
  return operations.flatMap((operation) => checkCommand(operation, caused.get(operation.id) ?? []));
}

function checkCommand({ id, method, outcome, request, reason }: Operation, events: LogEvent[]): string[] {
  const name = `${method} ${id} ${JSON.stringify(request)} (${outcome} ${reason})`;
  const found: string[] = [];
  for (const [key, group] of groupBy(events, ({ stream, type }) => `${type} on ${stream}`)) {
    if (group.length > 1) found.push(`${name} wrote ${group.length} times ${key}`);
  }
  const expected = written[method];
  const main = events.filter(({ type }) => type === expected);
  if (outcome === 'done' && expected && main.length !== 1)
    found.push(`${name} was done, and is in the log ${main.length} times`);
  if (outcome === 'refused') {
    const effects = events.filter(({ type }) => !notes.has(type));
    const undone = new Set(
      effects.filter(({ type }) => Object.values(undoneBy).includes(type)).map(({ stream }) => stream),
    );
    const left = effects.filter(
      ({ type, stream }) => !Object.values(undoneBy).includes(type) && !(undoneBy[type] && undone.has(stream)),
    );
    if (left.length > 0) found.push(`${name} was refused, and wrote ${left.map(({ type }) => type)}`);
  }
  return found;
}

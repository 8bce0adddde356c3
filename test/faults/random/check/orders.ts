/** Every order has ended, and money, pieces and shipment agree with its end. */
import type { Json } from '../../../e2e/api.ts';
import { groupBy, type LogEvent } from './log-events.ts';
import type { StockReport } from './stock.ts';

const ends = ['delivered', 'rejected', 'cancelled'];

export interface OrdersToCheck {
  events: LogEvent[];
  stock: StockReport;
  /** Orders by id, as the API shows them. */
  ended: Map<string, Json>;
}

export function checkOrders({ events, stock, ended }: OrdersToCheck): string[] {
  const streams = groupBy(events, ({ stream }) => stream);
  const reservations = new Set([...stock.sold.keys(), ...stock.open.keys()]);
  const reservationsOf = groupBy(reservations, (id) => id.replace(/\.\d+$/, ''));
  const orders = [...streams].filter(([stream]) => stream.startsWith('orders.order/'));
  const found = orders.flatMap(([stream, order]) => {
    const id = stream.slice('orders.order/'.length);
    const of = (entity: string) => actions(streams.get(`${entity}/${id}`) ?? []);
    const wrong: string[] = [];
    const end = actions(order).filter((action) => ends.includes(action));
    if (end.length !== 1) wrong.push(`has not one end`);
    const shown = ended.get(id)?.status;
    if (shown !== `ORDER_STATUS_${end[0]?.toUpperCase()}`) wrong.push(`is shown as ${shown}`);

    const isDelivered = end[0] === 'delivered';
    const payment = of('payments.payment');
    const isPaid = payment.includes('succeeded') && !payment.includes('refunded');
    if (isPaid !== isDelivered) wrong.push(`payment: ${payment}`);
    const shipment = of('shipping.shipment');
    if (shipment.includes('delivered') !== isDelivered) wrong.push(`shipment: ${shipment}`);

    const wanted: bigint = order[0]!.value.lines.reduce((sum: bigint, line: Json) => sum + line.quantity, 0n);
    const count = (of: Map<string, bigint>) =>
      (reservationsOf.get(id) ?? []).reduce((sum, reservation) => sum + (of.get(reservation) ?? 0n), 0n);
    const [sold, open] = [count(stock.sold), count(stock.open)];
    if (sold !== (isDelivered ? wanted : 0n) || open > 0n) wrong.push(`${sold} of ${wanted} pieces sold, ${open} held`);
    return wrong.map((what) => `order ${id} (${actions(order)}): ${what}`);
  });
  const placed = new Set(orders.map(([stream]) => stream.slice('orders.order/'.length)));
  for (const id of ended.keys()) if (!placed.has(id)) found.push(`order ${id} is shown, and not in the log`);
  return found;
}

/** `created`, `confirmed`, ...: types of events without the names of entity and version. */
const actions = (events: LogEvent[]) => events.map(({ type }) => type.split('.')[2]!);

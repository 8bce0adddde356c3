/**
 * Compares the system's state after an import with sums taken directly from the file: to the cent and to the piece.
 * Pure. Each check can fail by itself, and has the expected and the actual figure.
 */
import type { Order, OrderShipment } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { type Check, compare, none } from './checks.ts';
import { formatDecimal, fromMinorUnits } from './decimal.ts';
import { walletIdOf } from './outcome.ts';
import { fileAmount, type PlannedOrder } from './plan.ts';
import { reconcileStock } from './reconcile-stock.ts';
import { isSold, isUndone, revenueOf, type Source, sum, sumBy, type TalliedOrder, tally } from './tally.ts';

/** All checks of an import. The import reconciles if all are ok. */
export function reconcile(source: Source): Check[] {
  const orders = tally(source);
  return [
    ...reconcileLines(source),
    ...reconcileOrders(source, orders),
    ...reconcileRevenue(source, orders),
    ...reconcilePayments(orders),
    ...reconcileWallets(source, orders),
    ...reconcileStock(source, orders),
  ];
}

/** Every line of the file must be in the plan, before any figure of the system is compared. */
function reconcileLines({ plan, outcome }: Source): Check[] {
  const numbers = [
    ...plan.orders.flatMap(({ lines }) => lines.flatMap((line) => line.numbers)),
    ...plan.corrections.map(({ number }) => number),
    ...plan.rejected.map(({ number }) => number),
  ];
  const distinct = new Set(numbers);
  const failed = [...outcome.corrections].filter(([, { end }]) => end === 'failed');
  const done = plan.corrections.filter(({ number }) => outcome.corrections.has(number)).length - failed.length;
  return [
    compare('lines of the file that are imported or rejected', plan.file.lines, distinct.size),
    none('lines that are imported twice', duplicates(numbers).map(String)),
    {
      ...compare('corrections applied, or refused for lack of stock', plan.corrections.length, done),
      where: failed.map(([number, { reason }]) => `line ${number}: ${reason}`),
    },
  ];
}

function duplicates(numbers: number[]): number[] {
  const seen = new Set<number>();
  return numbers.filter((number) => seen.size === seen.add(number).size);
}

function reconcileOrders({ facts, outcome }: Source, orders: TalliedOrder[]): Check[] {
  const planned = new Set(orders.map(({ orderId }) => orderId));
  const name = ({ planned: { reference }, end }: TalliedOrder) => {
    const { reason = '' } = outcome.orders.get(reference) ?? {};
    return `${reference} ${end}${reason && `: ${reason}`}`;
  };
  const where = (wrong: (order: TalliedOrder) => boolean) => orders.filter(wrong).map(name);
  return [
    compare('orders in the system', orders.length, orders.filter(({ order }) => order).length),
    none(
      'orders in the system that the file does not have',
      [...facts.orders.keys()].filter((id) => !planned.has(id)),
    ),
    none(
      'orders with another buyer, country, product, quantity, price or total than in the file',
      where(({ order, planned: expected }) => order !== undefined && !isSame(order, expected)),
    ),
    none(
      'orders that are stuck',
      where(({ end }) => end === 'open' || end === 'missing'),
    ),
    none(
      'orders that ended differently than planned',
      where(({ end, planned: { fate } }) => end === (fate === 'deliver' ? 'cancelled' : 'delivered')),
    ),
    none(
      'orders that the import could not finish',
      where(({ planned: { reference } }) => {
        const { end } = outcome.orders.get(reference) ?? { end: 'failed' };
        return end === 'stuck' || end === 'failed';
      }),
    ),
    none(
      'orders rejected for another reason than stock',
      where(({ end, order }) => end === 'rejected' && order!.reason !== 'INSUFFICIENT_STOCK'),
    ),
    none(
      'orders whose shipment does not fit their end',
      where(({ end, order }) => order !== undefined && !shipmentFits(end, order.shipment)),
    ),
  ];
}

function isSame(order: Order, planned: PlannedOrder): boolean {
  const { customerId, country, reference, lines, total } = order;
  const byProduct = new Map(lines.map((line) => [line.productId, line]));
  return (
    customerId === planned.customerId &&
    country === planned.country &&
    reference === planned.reference &&
    total?.minorUnits === planned.total &&
    lines.length === planned.lines.length &&
    planned.lines.every(({ productId, quantity, unitPrice }) => {
      const line = byProduct.get(productId);
      return line?.quantity === quantity && line.unitPrice?.minorUnits === unitPrice;
    })
  );
}

function shipmentFits(end: TalliedOrder['end'], shipment: OrderShipment | undefined): boolean {
  if (end === 'delivered') return shipment?.status === 'delivered';
  if (end === 'cancelled' || end === 'rejected') return shipment === undefined || shipment.status === 'cancelled';
  return true;
}

/** Delivered = the file's sales, except orders that were rejected, cancelled, bought for a refund, or not imported. */
function reconcileRevenue({ plan }: Source, orders: TalliedOrder[]): Check[] {
  // Undone orders count with the file's amounts; only delivered orders count with the system's.
  const undone = orders.filter(isUndone).map(({ planned }) => ({
    country: planned.country,
    amount: fileAmount(planned),
  }));
  const missing = sumBy(
    [...plan.rejected, ...undone],
    ({ country }) => country,
    ({ amount }) => amount,
  );
  const countryOf = ({ order, planned }: TalliedOrder) => order?.country ?? planned.country;
  const delivered = sumBy(orders.filter(isSold), countryOf, ({ total }) => fromMinorUnits(total));
  const countries = new Set([...plan.file.byCountry.keys(), ...delivered.keys()]);
  const notImported = sum(plan.rejected, ({ amount }) => amount);
  return [
    ...[...countries].map((country) =>
      compare(
        `revenue in ${country || '(no country)'}`,
        formatDecimal((plan.file.byCountry.get(country) ?? 0n) - (missing.get(country) ?? 0n)),
        formatDecimal(delivered.get(country) ?? 0n),
      ),
    ),
    compare(
      'total of the file = delivered + rejected + cancelled - bought for a refund + not imported',
      formatDecimal(plan.file.total),
      formatDecimal(sum(orders, ({ amount }) => amount) + notImported),
    ),
  ];
}

function reconcilePayments(orders: TalliedOrder[]): Check[] {
  const amounts = (status: PaymentStatus) =>
    sum(orders, ({ payment }) => (payment?.status === status ? fromMinorUnits(payment.amount?.minorUnits ?? 0n) : 0n));
  const wrong = orders.filter((order) => order.order !== undefined && !paymentFits(order));
  const cancelled = orders.filter(({ end }) => end === 'cancelled');
  return [
    compare(
      'payments kept',
      formatDecimal(revenueOf(orders)),
      formatDecimal(amounts(PaymentStatus.PAYMENT_STATUS_SUCCEEDED)),
    ),
    compare(
      'payments paid back',
      formatDecimal(sum(cancelled, ({ planned }) => fromMinorUnits(planned.total))),
      formatDecimal(amounts(PaymentStatus.PAYMENT_STATUS_REFUNDED)),
    ),
    none(
      'orders whose payment does not fit their end',
      wrong.map(
        ({ planned: { reference }, end, payment }) => `${reference} ${end}: payment ${payment?.status ?? 'none'}`,
      ),
    ),
  ];
}

/** Both views, the payment's and the order's, must show it. */
function paymentFits({ end, order, payment, planned }: TalliedOrder): boolean {
  const right = payment?.amount?.minorUnits === planned.total;
  switch (end) {
    case 'delivered':
      return (
        right && payment!.status === PaymentStatus.PAYMENT_STATUS_SUCCEEDED && order!.payment?.status === 'succeeded'
      );
    case 'cancelled':
      return (
        right && payment!.status === PaymentStatus.PAYMENT_STATUS_REFUNDED && order!.payment?.status === 'refunded'
      );
    case 'rejected':
      return (
        payment === undefined ||
        payment.status === PaymentStatus.PAYMENT_STATUS_FAILED ||
        payment.status === PaymentStatus.PAYMENT_STATUS_VOIDED
      );
    default:
      return true;
  }
}

function reconcileWallets({ plan, outcome, facts }: Source, orders: TalliedOrder[]): Check[] {
  const spent = sumBy(
    orders.filter((order) => isSold(order) && order.planned.payment === 'wallet'),
    ({ planned }) => walletIdOf(planned.customerId),
    ({ total }) => total,
  );
  const wallets = [...plan.customers]
    .filter(([, { walletDeposit }]) => walletDeposit > 0n)
    .map(([customerId, { walletDeposit }]) => {
      const walletId = walletIdOf(customerId);
      const expected = (outcome.walletsBefore.get(walletId) ?? 0n) + walletDeposit - (spent.get(walletId) ?? 0n);
      return { walletId, expected, actual: facts.wallets.get(walletId)?.balance?.minorUnits };
    });
  const wrong = wallets.filter(({ expected, actual }) => actual !== expected || actual < 0n);
  return [
    compare(
      'balance of all wallets = deposits - what was paid from them and kept',
      formatDecimal(fromMinorUnits(sum(wallets, ({ expected }) => expected))),
      formatDecimal(fromMinorUnits(sum(wallets, ({ actual }) => actual ?? 0n))),
    ),
    none(
      'wallets with a different balance',
      wrong.map(({ walletId, expected, actual }) => `${walletId}: ${actual ?? 'missing'} instead of ${expected}`),
    ),
  ];
}

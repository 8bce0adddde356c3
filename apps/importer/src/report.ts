/**
 * The report of an import, counted from the answers of the system's queries. Plain JSON: amounts are strings in units
 * of the currency ("373086.011": exact, never a floating-point number), numbers of pieces are strings too.
 */
import type { Check } from './checks.ts';
import { formatDecimal, fromMinorUnits } from './decimal.ts';
import { CURRENCY } from './plan.ts';
import { type End, isSold, isUndone, type Source, sum, type TalliedOrder, tally } from './tally.ts';

export interface CountAndAmount {
  orders: number;
  amount: string;
}

export interface Report {
  /** The import's id: its orders' ids begin with it. */
  id: string;
  currency: string;
  reconciled: boolean;
  seconds: number;
  /** Counts only the time in which orders were in flight. */
  ordersPerSecond: number;
  lines: { total: number; inOrders: number; corrections: number; rejected: number };
  /** Orders by their end. */
  orders: Record<End, CountAndAmount> & { total: CountAndAmount };
  /**
   * Revenue. `file` = delivered + rejected + cancelled - boughtForRefund + notImported; `difference` is the rest, 0 if
   * right.
   */
  countries: CountryReport[];
  refunds: {
    /** Every tenth sale, which is cancelled. */
    cancelled: CountAndAmount;
    /** The file has the cancellation and its purchase. */
    returned: CountAndAmount;
    /** The file has only the cancellation: imported as purchase, then refund. */
    withoutPurchase: CountAndAmount;
  };
  stock: { products: number; opening: string; corrected: string; sold: string; onHand: string; reserved: string };
  corrections: {
    applied: number;
    refused: { line: number; productId: string; delta: string; remark: string; why: string }[];
  };
  rejectedLines: { line: number; why: string; amount: string; country: string }[];
  rejectedOrders: { reference: string; orderId: string; country: string; amount: string; reason: string }[];
  checks: Check[];
}

export interface CountryReport {
  country: string;
  file: string;
  delivered: string;
  rejected: string;
  cancelled: string;
  boughtForRefund: string;
  notImported: string;
  difference: string;
}

/** Makes the report. `checks`: the result of `reconcile` for the same facts. */
export function createReport(source: Source & { checks: Check[] }): Report {
  const { plan, outcome, checks } = source;
  const orders = tally(source);
  const ended = (end: End) => orders.filter((order) => order.end === end);
  const cancelledBy = (fate: string) => ended('cancelled').filter(({ planned }) => planned.fate === fate);
  return {
    id: outcome.idPrefix,
    currency: CURRENCY,
    reconciled: checks.every(({ ok }) => ok),
    seconds: round(outcome.seconds),
    ordersPerSecond: round(outcome.orderSeconds > 0 ? orders.length / outcome.orderSeconds : 0),
    lines: {
      total: plan.file.lines,
      inOrders: plan.orders.flatMap(({ lines }) => lines.flatMap(({ numbers }) => numbers)).length,
      corrections: plan.corrections.length,
      rejected: plan.rejected.length,
    },
    orders: {
      total: counted(orders),
      delivered: counted(ended('delivered')),
      rejected: counted(ended('rejected')),
      cancelled: counted(ended('cancelled')),
      open: counted(ended('open')),
      missing: counted(ended('missing')),
    },
    countries: [...plan.file.byCountry.keys()].map((country) => countryReport(country, source, orders)),
    refunds: {
      cancelled: counted(cancelledBy('cancel')),
      returned: counted(cancelledBy('return')),
      withoutPurchase: counted(cancelledBy('refund')),
    },
    stock: stockReport(source, orders),
    corrections: correctionsReport(source),
    rejectedLines: plan.rejected.map(({ number, why, amount, country }) => ({
      line: number,
      why,
      amount: formatDecimal(amount),
      country,
    })),
    rejectedOrders: ended('rejected').map(({ planned, orderId, order, total }) => ({
      reference: planned.reference,
      orderId,
      country: planned.country,
      amount: formatDecimal(fromMinorUnits(total)),
      reason: order!.reason,
    })),
    checks,
  };
}

/** Whether everything agrees with the file. */
export function isReconciled({ reconciled }: Report): boolean {
  return reconciled;
}

function counted(orders: TalliedOrder[]): CountAndAmount {
  return { orders: orders.length, amount: formatDecimal(sum(orders, ({ total }) => fromMinorUnits(total))) };
}

function countryReport(country: string, { plan }: Source, all: TalliedOrder[]): CountryReport {
  const orders = all.filter(({ planned }) => planned.country === country);
  const amountOf = (which: (order: TalliedOrder) => boolean) => sum(orders.filter(which), ({ amount }) => amount);
  const file = plan.file.byCountry.get(country)!;
  const notImported = sum(
    plan.rejected.filter((line) => line.country === country),
    ({ amount }) => amount,
  );
  const delivered = amountOf(isSold);
  const isRefund = ({ planned: { fate } }: TalliedOrder) => fate === 'refund';
  const rejected = amountOf((order) => order.end === 'rejected' && !isRefund(order));
  const cancelled = amountOf((order) => order.end === 'cancelled' && !isRefund(order));
  // Below zero in the file, whether its purchase could be made and refunded or not.
  const boughtForRefund = -amountOf((order) => isUndone(order) && isRefund(order));
  return {
    country,
    file: formatDecimal(file),
    delivered: formatDecimal(delivered),
    rejected: formatDecimal(rejected),
    cancelled: formatDecimal(cancelled),
    boughtForRefund: formatDecimal(boughtForRefund),
    notImported: formatDecimal(notImported),
    difference: formatDecimal(file - delivered - rejected - cancelled + boughtForRefund - notImported),
  };
}

function stockReport({ plan, outcome, facts }: Source, orders: TalliedOrder[]): Report['stock'] {
  const applied = plan.corrections.filter(({ number }) => outcome.corrections.get(number)?.end === 'applied');
  const sold = orders.filter(isSold).flatMap(({ order }) => order!.lines);
  return {
    products: plan.products.size,
    opening: String(sum(plan.products.values(), ({ openingStock }) => openingStock)),
    corrected: String(sum(applied, ({ delta }) => delta)),
    sold: String(sum(sold, ({ quantity }) => quantity)),
    onHand: String(sum(facts.stock.values(), ({ onHand }) => onHand)),
    reserved: String(sum(facts.stock.values(), ({ reserved }) => reserved)),
  };
}

function correctionsReport({ plan, outcome }: Source): Report['corrections'] {
  const ended = (end: string) => plan.corrections.filter(({ number }) => outcome.corrections.get(number)?.end === end);
  return {
    applied: ended('applied').length,
    refused: ended('refused').map(({ number, productId, delta, reason }) => ({
      line: number,
      productId,
      delta: String(delta),
      remark: reason,
      why: outcome.corrections.get(number)!.reason,
    })),
  };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

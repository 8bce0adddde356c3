/** The report for people: tables in plain text. */
import type { Check } from './checks.ts';
import type { CountAndAmount, Report } from './report.ts';

/** How many items of a long list are shown; the JSON has all of them. */
const SHOWN = 20;

/** The report as text, without colours, ending in a line end. */
export function renderReport(report: Report): string {
  const { orders, refunds, stock, lines, currency } = report;
  const counted = (name: string, { orders: count, amount }: CountAndAmount) => [name, String(count), amount];
  const sections = [
    `Import ${report.id}: ${lines.total} lines in ${report.seconds} s, ${report.ordersPerSecond} orders/s`,
    section(
      'Lines of the file',
      table([
        ['in orders', String(lines.inOrders)],
        ['corrections of the stock', String(lines.corrections)],
        ['rejected', String(lines.rejected)],
      ]),
    ),
    section(
      'Orders',
      table([
        ['', 'orders', currency],
        counted('delivered', orders.delivered),
        counted('cancelled and refunded', orders.cancelled),
        counted('rejected', orders.rejected),
        ...(orders.open.orders > 0 ? [counted('STUCK', orders.open)] : []),
        ...(orders.missing.orders > 0 ? [counted('MISSING', orders.missing)] : []),
        counted('all', orders.total),
      ]),
    ),
    section(
      `Revenue per country, ${currency}`,
      table([
        ['', 'file', 'delivered', 'rejected', 'cancelled', 'bought for refund', 'not imported', 'difference'],
        ...report.countries.map((row) => [
          row.country || '(none)',
          row.file,
          row.delivered,
          row.rejected,
          row.cancelled,
          row.boughtForRefund,
          row.notImported,
          row.difference,
        ]),
      ]),
    ),
    section(
      'Refunds',
      table([
        ['', 'orders', currency],
        counted('every tenth order, cancelled', refunds.cancelled),
        counted('returned: the file has the purchase', refunds.returned),
        counted('purchase not in the file: bought, then refunded', refunds.withoutPurchase),
      ]),
    ),
    section(
      'Stock, pieces',
      table([
        ['products', String(stock.products)],
        ['opening stock', stock.opening],
        ['corrected by', stock.corrected],
        ['sold', stock.sold],
        ['on hand', stock.onHand],
        ['reserved', stock.reserved],
      ]),
    ),
    section('Corrections', [
      `${report.corrections.applied} applied, ${report.corrections.refused.length} refused: the stock had too few pieces`,
      ...table(
        shown(report.corrections.refused).map((row) => [`line ${row.line}`, row.productId, row.delta, row.remark]),
      ),
      ...more(report.corrections.refused),
    ]),
    section('Lines rejected', [
      ...table(shown(report.rejectedLines).map((row) => [`line ${row.line}`, row.amount, row.why])),
      ...more(report.rejectedLines),
    ]),
    section(`Orders rejected: ${report.rejectedOrders.length}`, [
      ...table(shown(report.rejectedOrders).map((row) => [row.reference, row.country, row.amount, row.reason])),
      ...more(report.rejectedOrders),
    ]),
    section('Checks', report.checks.flatMap(renderCheck)),
    report.reconciled ? 'Everything reconciles with the file.' : 'It does NOT reconcile with the file.',
  ];
  return `${sections.join('\n\n')}\n`;
}

function renderCheck({ ok, name, expected, actual, where }: Check): string[] {
  if (ok) return [`✓ ${name}: ${actual}`];
  return [
    `✗ ${name}: ${actual} instead of ${expected}`,
    ...shown(where).map((item) => `    ${item}`),
    ...more(where).map((item) => `    ${item}`),
  ];
}

function section(title: string, lines: string[]): string {
  return [title, ...(lines.length > 0 ? lines : ['none']).map((line) => `  ${line}`)].join('\n');
}

function shown<T>(items: T[]): T[] {
  return items.slice(0, SHOWN);
}

function more(items: unknown[]): string[] {
  return items.length > SHOWN ? [`and ${items.length - SHOWN} more (--json has all of them)`] : [];
}

/** Aligned columns; columns of numbers, except the first, are aligned to the right. */
function table(rows: string[][]): string[] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const cells = Array.from({ length: columns }, (_, column) => rows.map((row) => row[column] ?? ''));
  const widths = cells.map((column) => Math.max(...column.map((cell) => cell.length)));
  const numeric = cells.map(
    (column, index) => index > 0 && column.filter((cell) => /^-?\d+(\.\d+)?$/.test(cell)).length * 2 > column.length,
  );
  return rows.map((row) =>
    row
      .map((cell, column) => (numeric[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
}

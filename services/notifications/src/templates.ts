/** The mails to customers: plain text, one template per event. */
import { decimalsOf } from '@caudal/contract/currencies.ts';
import type { Order, OrderLine, OrderPayment } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import type { Mail } from './mailer.ts';

export type Template = 'order_confirmed' | 'order_shipped' | 'order_delivered' | 'order_rejected' | 'order_cancelled';

/** The order's data when the mail is written; views may be incomplete. */
export type OrderFacts = Pick<Order, 'orderId' | 'reference' | 'lines' | 'total' | 'payment' | 'shipment' | 'reason'>;

/** At most this many lines of an order are listed. */
const maxLines = 50;

/** `12.50 GBP`, with the decimals that ISO 4217 gives the currency. */
export function moneyText({ minorUnits, currency }: Money): string {
  const digits = decimalsOf(currency);
  const sign = minorUnits < 0n ? '-' : '';
  const figures = String(minorUnits < 0n ? -minorUnits : minorUnits).padStart(digits + 1, '0');
  const whole = figures.slice(0, figures.length - digits);
  return `${sign}${whole}${digits > 0 ? `.${figures.slice(-digits)}` : ''} ${currency}`;
}

function linesText(lines: OrderLine[]): string {
  const listed = lines.slice(0, maxLines).map(({ quantity, title, productId, unitPrice }) => {
    const price = unitPrice ? ` at ${moneyText(unitPrice)}` : '';
    return `  ${quantity} x ${title || productId}${price}\n`;
  });
  const rest = lines.length - listed.length;
  return listed.join('') + (rest > 0 ? `  ... and ${rest} more\n` : '');
}

/** Reasons of a rejected order, as texts for people. */
const reasonTexts: Record<string, string> = {
  INSUFFICIENT_STOCK: 'Something you ordered is out of stock.',
  INSUFFICIENT_FUNDS: 'The wallet does not hold enough.',
  WALLET_FROZEN: 'The wallet is frozen.',
  CARD_DECLINED: 'The card was declined.',
};

/** Whether money was taken. The view may lack the refund yet; a voided payment took nothing. */
function wasPaid(payment: OrderPayment | undefined): payment is OrderPayment & { amount: Money } {
  const taken = payment?.status === 'succeeded' || payment?.status === 'refunded';
  return taken && payment.amount !== undefined && payment.amount.minorUnits > 0n;
}

interface Text {
  subject: string;
  body: string;
}

const texts: Record<Template, (order: OrderFacts, name: string, reason: string) => Text> = {
  order_confirmed: (order, name) => ({
    subject: `Your order ${name} is confirmed`,
    body:
      `Thank you. Your order ${name} is paid and being prepared:\n\n${linesText(order.lines)}` +
      (order.total ? `\nTotal: ${moneyText(order.total)}\n` : ''),
  }),
  order_shipped: ({ shipment }, name) => ({
    subject: `Your order ${name} is on its way`,
    body:
      `Your order ${name} has left our warehouse.\n` +
      (shipment?.trackingNumber ? `\n${shipment.carrier || 'Tracking'}: ${shipment.trackingNumber}\n` : ''),
  }),
  order_delivered: (_, name) => ({
    subject: `Your order ${name} was delivered`,
    body: `Your order ${name} was delivered. We hope you like it.\n`,
  }),
  order_rejected: (_, name, reason) => ({
    subject: `We could not fulfil your order ${name}`,
    body: `We are sorry: we could not fulfil your order ${name}.${reasonTexts[reason] ? ` ${reasonTexts[reason]}` : ''}\n\nYou are not charged for it; what was paid goes back.\n`,
  }),
  order_cancelled: ({ payment }, name) => ({
    subject: `Your order ${name} is cancelled`,
    body: `Your order ${name} is cancelled.${wasPaid(payment) ? ` What you paid, ${moneyText(payment.amount)}, goes back to you.` : ''}\n`,
  }),
};

export interface ComposeInput {
  /** The message's id follows from it, so a mail that is sent twice is recognised as one. */
  notificationId: string;
  template: Template;
  customer: { displayName: string; email: string };
  order: OrderFacts;
  /**
   * The event's reason, such as `INSUFFICIENT_STOCK`, for templates that contain it. The order's own reason if absent.
   */
  reason?: string;
}

/** Writes the mail; undefined if the customer has no address. */
export function compose({ notificationId, template, customer, order, reason }: ComposeInput): Mail | undefined {
  if (customer.email === '') return undefined;
  const { subject, body } = texts[template](order, order.reference || order.orderId, reason ?? order.reason);
  const greeting = customer.displayName ? `Hello ${customer.displayName},` : 'Hello,';
  return {
    id: notificationId,
    to: { name: customer.displayName, address: customer.email },
    subject,
    text: `${greeting}\n\n${body}`,
  };
}

/** Whether this version has a template of this stored name. */
export function isTemplate(name: string): name is Template {
  return Object.hasOwn(texts, name);
}

/** The mails to customers: plain text, one template per event. */
import { decimalsOf } from '@caudal/contract/currencies.ts';
import type { Order, OrderLine, OrderPayment, OrderShipment } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { Shipment } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import type { Mail } from './mailer.ts';

export type Template =
  | 'order_confirmed'
  | 'order_shipped'
  | 'order_delivered'
  | 'order_rejected'
  | 'order_cancelled'
  | 'shipment_dispatched'
  | 'shipment_tracking_corrected';

/** The order's data when the mail is written; views may be incomplete. */
export type OrderFacts = Pick<
  Order,
  'orderId' | 'reference' | 'lines' | 'total' | 'payment' | 'shipment' | 'shipments' | 'reason'
>;

/** The shipment that a mail is about. */
export type ShipmentFacts = Pick<Shipment, 'lines' | 'carrier' | 'trackingNumber'>;

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

function trackingText({ carrier, trackingNumber }: Pick<OrderShipment, 'carrier' | 'trackingNumber'>): string {
  return trackingNumber ? `\n${carrier || 'Tracking'}: ${trackingNumber}\n` : '';
}

/** What is in shipments, by the order's titles. */
function contentText(order: OrderFacts, shipments: Pick<ShipmentFacts, 'lines'>[]): string {
  const titles = new Map(order.lines.map(({ productId, title }) => [productId, title]));
  const content = shipments.flatMap(({ lines }) =>
    lines.map(({ productId, quantity }) => {
      return { productId, quantity, title: titles.get(productId) ?? '', unitPrice: undefined };
    }),
  );
  return content.length > 0 ? `\n${linesText(content)}` : '';
}

function shippedText(order: OrderFacts, name: string): string {
  const { shipment, shipments } = order;
  // During an update from version 0.2 an older process may have answered: it knows one shipment.
  const all = shipments.length === 0 && shipment ? [shipment] : shipments;
  const left = all.filter(({ status }) => status !== 'created' && status !== 'cancelled');
  const rest = all.filter(({ status }) => status === 'created');
  const tracking = left.map(trackingText).join('');
  if (left.length === 0 || rest.length === 0) return `Your order ${name} has left our warehouse.\n${tracking}`;
  const content = contentText(order, left);
  return `A part of your order ${name} has left our warehouse:\n${content}${tracking}\nThe rest follows.\n`;
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

const texts: Record<Template, (order: OrderFacts, name: string, reason: string, shipment: ShipmentFacts) => Text> = {
  order_confirmed: (order, name) => ({
    subject: `Your order ${name} is confirmed`,
    body:
      `Thank you. Your order ${name} is paid and being prepared:\n\n${linesText(order.lines)}` +
      (order.total ? `\nTotal: ${moneyText(order.total)}\n` : ''),
  }),
  order_shipped: (order, name) => ({
    subject: `Your order ${name} is on its way`,
    body: shippedText(order, name),
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
  shipment_dispatched: (order, name, _, shipment) => ({
    subject: `Another part of your order ${name} is on its way`,
    body:
      `Another part of your order ${name} has left our warehouse:\n` +
      contentText(order, [shipment]) +
      trackingText(shipment),
  }),
  shipment_tracking_corrected: (order, name, _, shipment) => ({
    subject: `Corrected tracking of your order ${name}`,
    body:
      `We have corrected how ${order.shipments.length > 1 ? 'a part of ' : ''}your order ${name} is sent. ` +
      'Please use this instead of what we wrote before:\n' +
      (order.shipments.length > 1 ? contentText(order, [shipment]) : '') +
      `\n${shipment.carrier}${shipment.trackingNumber ? `: ${shipment.trackingNumber}` : ''}\n`,
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
  /** The shipment that the mail is about, for templates of shipments. */
  shipment?: ShipmentFacts;
}

const noShipment: ShipmentFacts = { lines: [], carrier: '', trackingNumber: '' };

/** Writes the mail; undefined if the customer has no address. */
export function compose(input: ComposeInput): Mail | undefined {
  const { notificationId, template, customer, order, reason = order.reason, shipment = noShipment } = input;
  if (customer.email === '') return undefined;
  const { subject, body } = texts[template](order, order.reference || order.orderId, reason, shipment);
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

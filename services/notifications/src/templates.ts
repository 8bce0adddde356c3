/**
 * The mails to customers: plain text, one template per event. They have nothing that a customer wrote: docs/personal-data.md,
 * Mails.
 */
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
  | 'shipment_tracking_corrected'
  | 'shipment_withdrawn';

/** The order's data when the mail is written; views may be incomplete. */
export type OrderFacts = Pick<Order, 'orderId' | 'lines' | 'total' | 'payment' | 'shipment' | 'shipments' | 'reason'>;

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

function shipmentsOf({ shipment, shipments }: OrderFacts): OrderShipment[] {
  // During an update from version 0.2 an older process may have answered: it knows one shipment.
  return shipments.length === 0 && shipment ? [shipment] : shipments;
}

/** The order's shipments that have left the warehouse. */
export function shipmentsLeft(order: OrderFacts): OrderShipment[] {
  return shipmentsOf(order).filter(({ status }) => status !== 'created' && status !== 'cancelled');
}

function shippedText(order: OrderFacts, what: string): string {
  const left = shipmentsLeft(order);
  const rest = shipmentsOf(order).filter(({ status }) => status === 'created');
  const withdrawn = withdrawnText(order);
  const tracking = left.map(trackingText).join('');
  if (left.length === 0 || (rest.length === 0 && withdrawn === ''))
    return `Your ${what} has left our warehouse.\n${tracking}`;
  const content = contentText(order, left);
  const follows = rest.length === 0 ? '' : `\n${withdrawn === '' ? 'The rest' : 'More'} follows.\n`;
  return `A part of your ${what} has left our warehouse:\n${content}${tracking}${follows}${withdrawn}`;
}

/** What of the order will not be sent; empty if all is. */
function withdrawnText(order: OrderFacts): string {
  const withdrawn = shipmentsOf(order).filter(({ status }) => status === 'cancelled');
  return withdrawn.length === 0 ? '' : `\nWe could not send a part of it:\n${contentText(order, withdrawn)}`;
}

/** Reasons of a rejected order, as texts for people. */
const reasonTexts: Record<string, string> = {
  INSUFFICIENT_STOCK: 'Something you ordered is out of stock.',
  INSUFFICIENT_FUNDS: 'The wallet does not hold enough.',
  WALLET_FROZEN: 'The wallet is frozen.',
  CARD_DECLINED: 'The card was declined.',
};

/** Whether money was taken. The view may lack refunds yet, so what is still to be paid back is not known. */
function wasPaid(payment: OrderPayment | undefined): boolean {
  const taken = payment !== undefined && !['', 'requested', 'failed', 'voided'].includes(payment.status);
  return taken && (payment.amount?.minorUnits ?? 0n) > 0n;
}

interface Text {
  subject: string;
  body: string;
}

/** `what`: "order 536365", or "order" if it can't be named. */
const texts: Record<Template, (order: OrderFacts, what: string, reason: string, shipment: ShipmentFacts) => Text> = {
  order_confirmed: (order, what) => ({
    subject: `Your ${what} is confirmed`,
    body:
      `Thank you. Your ${what} is paid and being prepared:\n\n${linesText(order.lines)}` +
      (order.total ? `\nTotal: ${moneyText(order.total)}\n` : ''),
  }),
  order_shipped: (order, what) => ({
    subject: `Your ${what} is on its way`,
    body: shippedText(order, what),
  }),
  order_delivered: (order, what) => {
    const withdrawn = withdrawnText(order);
    const body = `Your ${what} was delivered. We hope you like it.\n${withdrawn}`;
    return { subject: `Your ${what} was delivered${withdrawn === '' ? '' : ' in part'}`, body };
  },
  order_rejected: (_, what, reason) => ({
    subject: `We could not fulfil your ${what}`,
    body: `We are sorry: we could not fulfil your ${what}.${reasonTexts[reason] ? ` ${reasonTexts[reason]}` : ''}\n\nYou are not charged for it; what was paid goes back.\n`,
  }),
  order_cancelled: ({ payment }, what) => ({
    subject: `Your ${what} is cancelled`,
    body: `Your ${what} is cancelled.${wasPaid(payment) ? ' What you paid goes back to you; a mail will tell you when.' : ''}\n`,
  }),
  shipment_dispatched: (order, what, _, shipment) => ({
    subject: `Another part of your ${what} is on its way`,
    body:
      `Another part of your ${what} has left our warehouse:\n` +
      contentText(order, [shipment]) +
      trackingText(shipment),
  }),
  shipment_withdrawn: (order, what, _, shipment) => ({
    subject: `We can't send a part of your ${what}`,
    body:
      `We are sorry: we can't send a part of your ${what}.\n${contentText(order, [shipment])}` +
      `${wasPaid(order.payment) ? '\nWhat you paid for it goes back to you; a mail will tell you when.\n' : ''}`,
  }),
  shipment_tracking_corrected: (order, what, _, shipment) => ({
    subject: `Corrected tracking of your ${what}`,
    body:
      `We have corrected how ${order.shipments.length > 1 ? 'a part of ' : ''}your ${what} is sent. ` +
      'Please use this instead of what we wrote before:\n' +
      (order.shipments.length > 1 ? contentText(order, [shipment]) : '') +
      `\n${shipment.carrier}${shipment.trackingNumber ? `: ${shipment.trackingNumber}` : ''}\n`,
  }),
};

interface Recipient {
  /** The message's id follows from it, so a mail that is sent twice is recognised as one. */
  notificationId: string;
  /** The address. */
  to: string;
  order: OrderFacts;
}

export interface ComposeInput extends Recipient {
  template: Template;
  /**
   * The event's reason, such as `INSUFFICIENT_STOCK`, for templates that contain it. The order's own reason if absent.
   */
  reason?: string;
  /** The shipment that the mail is about, for templates of shipments. */
  shipment?: ShipmentFacts;
}

const noShipment: ShipmentFacts = { lines: [], carrier: '', trackingNumber: '' };

/** Writes the mail about an order. */
export function compose({ template, reason, shipment = noShipment, ...to }: ComposeInput): Mail {
  return mailOf(to, texts[template](to.order, named(to.order), reason ?? to.order.reason, shipment));
}

/** Money that was paid back. */
export interface Refund {
  amount: Money;
  /** The whole payment, if it is known. */
  paid: Money | undefined;
  /** The payment was made from a wallet, not by card. */
  byWallet: boolean;
  /** An operator has paid it back by hand, so nobody knows here where it is. */
  settled: boolean;
}

/** Writes the mail about a refund, whole or in part. */
export function composeRefund({ refund, ...to }: Recipient & { refund: Refund }): Mail {
  const { amount, paid } = refund;
  const what = named(to.order);
  const isPart = paid !== undefined && paid.currency === amount.currency && amount.minorUnits < paid.minorUnits;
  const part = isPart ? ` That is a part of the ${moneyText(paid)} that you paid.` : '';
  return mailOf(to, {
    subject: `We have paid back ${moneyText(amount)} for your ${what}`,
    body: `We have paid back ${moneyText(amount)} for your ${what}.${part}\n\n${whereText(refund)}\n`,
  });
}

/** Where the money is, in words: a wallet's id or a card's number has no place in a mail. */
function whereText({ byWallet, settled }: Refund): string {
  if (settled)
    return `It did not go back to your ${byWallet ? 'wallet' : 'card'} by itself: our staff has paid it to you.`;
  return byWallet ? 'It is in your wallet.' : 'It goes to your card. Your bank may take some days to show it.';
}

/** Writes the mail that brings a code to an address. */
export function composeVerification({
  notificationId,
  to,
  code,
}: {
  notificationId: string;
  to: string;
  code: string;
}): Mail {
  const secret = `${code.slice(0, 5)}-${code.slice(5)}`;
  const mail = mailOf(
    { notificationId, to },
    {
      subject: 'Your code',
      body:
        `${secret} is the code that shows that this address is yours. It is good for an hour.\n\n` +
        'If you have not asked for it, there is nothing to do: without the code no more mails come.\n',
    },
  );
  return { ...mail, secret };
}

/** Writes the mail that reminds of a cart. */
export function composeReminder({ lines, ...to }: Pick<Recipient, 'notificationId' | 'to'> & { lines: number }): Mail {
  return mailOf(to, {
    subject: 'Your cart is waiting',
    body:
      `There ${lines === 1 ? 'is an article' : `are ${lines} articles`} in your cart that you have not ordered yet. ` +
      'Prices and stock may have changed.\n\nYou get this mail because you have asked to be reminded.\n',
  });
}

/** Greets nobody by name: a name is what its owner wrote. */
function mailOf({ notificationId, to }: Pick<Recipient, 'notificationId' | 'to'>, { subject, body }: Text): Mail {
  return { id: notificationId, to, subject, text: `Hello,\n\n${body}` };
}

/** The order by its id, if that is a UUID or a number. A buyer may have made up the reference, and any other id. */
function named({ orderId }: Pick<OrderFacts, 'orderId'>): string {
  return /^(?:[0-9]{1,12}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.test(orderId) ? `order ${orderId}` : 'order';
}

/** Whether this version has a template of this stored name. */
export function isTemplate(name: string): name is Template {
  return Object.hasOwn(texts, name);
}

/** The reasons that carts answer with, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  CART_DEVICE_EXPIRED: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'What this copy of the cart is based on is forgotten: it has not been synchronised for 30 days, or too much was removed since; or `cart_uid` names another cart, such as the one of a guest before a login. Take the cart anew under another device id (base_version 0, no cart_uid), and do again what the copy has not sent. `metadata.server_time` has the clock of the server, by which the id must not be older than 30 days.',
  },
  CART_CHANGES_LOST: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The server lacks changes that it has confirmed: a fail-over has lost them. Send all that the copy has, with base_version and confirmed_change 0 and no cart_uid.',
  },
  CART_CLOCK_AHEAD: {
    code: 'FAILED_PRECONDITION',
    meaning:
      "The device's clock is more than a minute ahead; `metadata.server_time` has the server's. Correct it, and date what was not sent yet anew.",
  },
  CART_FULL: {
    code: 'RESOURCE_EXHAUSTED',
    meaning: 'The cart would exceed its bounds; the message says which. Remove lines first.',
  },
  CART_EMPTY: {
    code: 'FAILED_PRECONDITION',
    meaning: 'There is nothing in the cart; `metadata.last_order_id` names the order that it became last.',
  },
  CART_RESERVATION_LIMIT: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The cart would reserve more pieces, or within a day for longer, than a cart may; the message says which. It can be checked out without a reservation.',
  },
  CART_FIELD_UNKNOWN: {
    code: 'INVALID_ARGUMENT',
    meaning: 'The setting CARTS_FIELDS names no field like this: `violations` has those that it names.',
  },
  CART_VALUE_INVALID: {
    code: 'INVALID_ARGUMENT',
    meaning: "The field's strategy takes other values: `violations` says which.",
  },
  CARTS_BUSY: {
    code: 'RESOURCE_EXHAUSTED',
    meaning: 'More changes of this cart wait than a process keeps. Nothing was done: try again.',
  },
  GUEST_CART_NOT_FOUND: {
    code: 'NOT_FOUND',
    meaning: "There is no guest's cart with this id and token. It may have expired: make another one.",
  },
  GUEST_CART_MERGED: {
    code: 'FAILED_PRECONDITION',
    meaning: "The guest's cart was taken into a customer's at a login. Make another one for the next guest.",
  },
  CHECKOUT_UNDECIDED: {
    code: 'UNAVAILABLE',
    meaning:
      'An earlier checkout of the cart may have placed its order, and what is known of orders does not show yet. Repeat it.',
  },
} satisfies Record<string, Reason>;

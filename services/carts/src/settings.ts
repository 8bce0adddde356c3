/** The settings of carts. */
import { setting } from '@caudal/config/setting.ts';
import { parseFields, usualFields } from './fields-setting.ts';

const dayMs = 86_400_000;

export const settings = {
  CARTS_FIELDS: setting.parsed(
    {
      description:
        'The fields of carts beside their lines, each with the strategy by which what several devices set becomes one.',
      default: usualFields,
      expects: 'fields with their strategies: coupon=last-writer-wins,address=siblings',
      secrecy: 'public',
    },
    parseFields,
  ),
  CARTS_ABANDONED_AFTER: setting.duration({
    description: 'After how long without a change a cart with lines counts as abandoned.',
    default: '24h',
    min: 60_000,
    max: 90 * dayMs,
  }),
  CARTS_KEPT: setting.duration({
    description: "How long a customer's cart is kept after its last change.",
    default: '180d',
    min: dayMs,
    max: 1_000 * dayMs,
  }),
  CARTS_GUESTS_KEPT: setting.duration({
    description: "How long a guest's cart is kept after its last change.",
    default: '30d',
    min: 60_000,
    max: 365 * dayMs,
  }),
  CARTS_RESERVED_PIECES: setting.int({
    description: 'How many pieces a cart can reserve at most, over all its lines.',
    default: '100',
    min: 1,
    max: 1_000_000,
  }),
  CARTS_RESERVED_FOR: setting.duration({
    description: 'For how long a cart can hold reservations within a day, unless it becomes an order.',
    default: '1h',
    min: 60_000,
    max: dayMs,
  }),
};

export type CartSettings = typeof settings;

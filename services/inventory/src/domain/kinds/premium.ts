/**
 * Stock for chosen buyers. Settings, all optional:
 * - safety_stock: the number of pieces that are always kept back;
 * - max_per_order: the largest number of pieces in one reservation;
 * - tiers: the tiers that may reserve, for example "gold,platinum"; a reservation's tier is its attribute "tier".
 */
import { refused } from '@caudal/kernel/errors.ts';
import { type Kind, policyViolation } from '../kind.ts';

const wholeNumber = /^\d{1,9}$/;

export const premium: Kind = {
  name: 'premium',

  validatePolicy(policy) {
    return Object.entries(policy).flatMap(([setting, value]) => {
      switch (setting) {
        case 'safety_stock':
          return wholeNumber.test(value) ? [] : [policyViolation(setting, 'a whole number from 0 to 999999999')];
        case 'max_per_order':
          return wholeNumber.test(value) && Number(value) > 0
            ? []
            : [policyViolation(setting, 'a whole number from 1 to 999999999')];
        case 'tiers':
          return tiersOf(value).every((tier) => tier !== '')
            ? []
            : [policyViolation(setting, 'names of tiers, separated by commas')];
        default:
          return [policyViolation(setting, 'premium stock has no such setting')];
      }
    });
  },

  available({ onHand, reserved, policy }) {
    const free = onHand - reserved - BigInt(policy.safety_stock ?? 0);
    return free > 0n ? free : 0n;
  },

  checkReservation({ policy }, { quantity, attributes }) {
    if (policy.tiers !== undefined && !tiersOf(policy.tiers).includes(attributes.tier ?? '')) {
      return refused('TIER_NOT_ALLOWED', `This stock is only for buyers of the tiers ${policy.tiers}.`);
    }
    if (policy.max_per_order !== undefined && quantity > BigInt(policy.max_per_order)) {
      return refused('TOO_MANY_PER_ORDER', `One order can have at most ${policy.max_per_order} pieces.`);
    }
    return undefined;
  },
};

function tiersOf(value: string): string[] {
  return value.split(',').map((tier) => tier.trim());
}

/** Ordinary stock: all pieces that are not promised yet are available. It has no settings. */
import { type Kind, policyViolation } from '../kind.ts';

export const standard: Kind = {
  name: 'standard',
  validatePolicy: (policy) =>
    Object.keys(policy).map((setting) => policyViolation(setting, 'standard stock has no such setting')),
  available: ({ onHand, reserved }) => onHand - reserved,
  checkReservation: () => undefined,
};

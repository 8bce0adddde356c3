/** Joins a guest's cart with that of the customer who logs in. Lines that only one of them has always stay. */
import { addToLine, atLeastNone, type By, type Cart, linesOf, merge, quantityOf } from './cart.ts';

/** What becomes of a line that both carts have. `ask` changes nothing. */
export type LoginRule = 'sum' | 'max' | 'keep_mine' | 'keep_theirs';

export interface Conflict {
  key: string;
  /** In the customer's cart. */
  mine: number;
  /** In the guest's. */
  theirs: number;
}

/** The lines that both carts have, in different quantities or the same. */
export function conflictsOf(mine: Cart, guests: Cart): Conflict[] {
  return linesOf(mine).flatMap(({ key, quantity }) => {
    const theirs = quantityOf(guests.lines.get(key));
    return theirs > 0 ? [{ key, mine: quantity, theirs }] : [];
  });
}

/**
 * The customer's cart with the guest's. The guest's devices stay the authors of what they have added; a rule other than `sum` then takes
 * away what is too much, in the name of `by`.
 */
export function mergeOnLogin(mine: Cart, guests: Cart, rule: LoginRule, by: By): Cart {
  let cart = merge(addable(mine, guests), addable(guests, mine));
  for (const conflict of conflictsOf(mine, guests)) {
    const change = wanted(conflict, rule) - quantityOf(cart.lines.get(conflict.key));
    if (change !== 0) cart = addToLine(cart, conflict.key, change, by);
  }
  return cart;
}

/** A cart to whose lines those of another one are added: what it has too few of would be taken from them. */
function addable(cart: Cart, other: Cart): Cart {
  return linesOf(other).reduce((own, { key }) => atLeastNone(own, key), cart);
}

function wanted({ mine, theirs }: Conflict, rule: LoginRule): number {
  if (rule === 'sum') return mine + theirs;
  if (rule === 'max') return Math.max(mine, theirs);
  return rule === 'keep_mine' ? mine : theirs;
}

/** Histories of devices, for tests: the same ones are played in Node and in browsers. */
import { addToLine, type Cart, emptyCart, merge, removeLine } from '../cart.ts';
import { decodeCart, encodeCart } from '../encoding.ts';
import { type FieldsConfig, strategies, writeField } from '../fields.ts';
import type { Value } from '../strategies/strategy.ts';

export interface Step {
  kind: 'add' | 'remove' | 'receive' | 'write';
  device: number;
  key: string;
  pieces: number;
  from: number;
  name: string;
  value: number;
  nowMs: number;
}

export const devices = 4;

/** A field for each strategy, of the same name. */
const config: FieldsConfig = Object.fromEntries(
  Object.keys(strategies).map((name) => [name, name as FieldsConfig[string]]),
);

export function deviceOf(n: number): string {
  return `00000000-0000-7000-8000-00000000000${n}`;
}

/** The devices' carts after these steps. */
export function play(steps: Step[]): Cart[] {
  const carts = Array.from({ length: devices }, emptyCart);
  steps.forEach((step, n) => {
    const cart = carts[step.device]!;
    carts[step.device] = after(cart, step, { from: carts[step.from]!, n });
  });
  return carts;
}

function after(cart: Cart, step: Step, { from, n }: { from: Cart; n: number }): Cart {
  const device = deviceOf(step.device);
  if (step.kind === 'add') return addToLine(cart, step.key, step.pieces, { device, nowMs: n });
  if (step.kind === 'remove') return removeLine(cart, step.key);
  if (step.kind === 'receive') return merge(cart, from);
  const { name, nowMs } = step;
  return {
    ...cart,
    fields: writeField(cart.fields, { name, value: valueFor(name, step.value), device, nowMs }, config),
  };
}

function valueFor(name: string, n: number): Value {
  return name === 'sum' || name === 'maximum' ? n : `tëxt ${n}`;
}

/** For each history the bytes of each device's cart and of all of them merged, through bytes, as hexadecimal. */
export function bytesAfter(histories: Step[][]): string[] {
  const hex = (cart: Cart) => Array.from(encodeCart(cart), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return histories.map((steps) => {
    const carts = play(steps);
    const all = carts.map((cart) => decodeCart(encodeCart(cart))).reduce(merge);
    return [...carts, all].map(hex).join(' ');
  });
}

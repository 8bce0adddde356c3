/** Which fields a cart has, and their strategies, as a setting has them: `coupon=last-writer-wins, address=siblings`. */
import { type FieldsConfig, type StrategyName, strategies } from '@caudal/carts/fields.ts';

export const usualFields =
  'coupon=last-writer-wins,note=last-writer-wins,address=siblings,source=first-writer-wins,labels=set-union,reminders=last-writer-wins';

const mostFields = 20;

/** Throws an Error that names the fault. */
export function parseFields(text: string): FieldsConfig {
  const fields: FieldsConfig = {};
  for (const part of text.split(',')) {
    const [, name, strategy] = /^\s*([a-z][a-z0-9_]{0,39})\s*=\s*([a-z-]+)\s*$/.exec(part) ?? [];
    if (!name || !strategy) throw new Error(`"${part.trim()}" is not written as <field>=<strategy>`);
    if (!Object.hasOwn(strategies, strategy))
      throw new Error(`"${strategy}" is none of the strategies ${Object.keys(strategies).join(', ')}`);
    if (Object.hasOwn(fields, name)) throw new Error(`"${name}" is given twice`);
    fields[name] = strategy as StrategyName;
  }
  if (Object.keys(fields).length > mostFields) throw new Error(`there are more than ${mostFields} fields`);
  return fields;
}

/** The setting of how views are cached: `wallet-balances=refresh-ahead/5m,product-search.pages=cache-aside/5s`. */
import { type CacheStrategy, cacheStrategies, type ViewCaching } from '@caudal/context/context.ts';
import { contexts } from '../contexts.ts';

export const cachesExpect = 'VIEW=STRATEGY/TIME,... such as stock-dashboard=refresh-ahead/10s';

const units: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000 };
const maxMs = 3_600_000;
/** Pages of searches are made of views by the store, so nobody writes them. */
const pagesEnd = '.pages';

/** By view, or by view and `.pages`. */
export type Caches = ReadonlyMap<string, ViewCaching>;

/** The views that there are. Pages are cached of those in a store that searches. */
function namesOfViews(): string[] {
  return contexts.flatMap(({ projections }) =>
    projections.flatMap(({ projection: { name }, store }) => (store === 'search' ? [name, name + pagesEnd] : [name])),
  );
}

/** Throws an Error that says what is wrong, and with which part. */
export function parseCaches(text: string): Caches {
  const known = namesOfViews();
  const found = new Map<string, ViewCaching>();
  for (const part of text.split(',').map((word) => word.trim())) {
    const [, name = '', strategy, amount, unit = ''] = /^([\w.-]+)=([a-z-]+)\/(\d{1,6})([smh])$/.exec(part) ?? [];
    const ms = Number(amount) * (units[unit] ?? Number.NaN);
    if (!cacheStrategies.includes(strategy as CacheStrategy) || !(ms >= 1_000 && ms <= maxMs))
      throw new Error(`"${part}" is not VIEW=STRATEGY/TIME, with ${cacheStrategies.join(', ')}, and 1s to 1h`);
    if (!known.includes(name)) throw new Error(`there is no view "${name}": they are ${known.join(', ')}`);
    if (found.has(name)) throw new Error(`"${name}" is there twice`);
    if (name.endsWith(pagesEnd) && strategy === 'write-through')
      throw new Error(`"${part}": pages are not written, so they can't be cached by write-through`);
    found.set(name, { strategy: strategy as CacheStrategy, ms });
  }
  return found;
}

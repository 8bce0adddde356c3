/** The catalogue of reasons: the entries of every `src/reasons.ts`, and the reasons that the code uses. */
import { globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Reason } from '@caudal/kernel/reason.ts';
import { shippedSources } from './sources.ts';

export interface CataloguedReason extends Reason {
  reason: string;
  /** `services/orders` */
  owner: string;
}

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Every reason of every registry. There is no list of registries: a new `src/reasons.ts` is found by its name. */
export async function catalogue(): Promise<CataloguedReason[]> {
  const files = globSync('{packages,services}/*/src/reasons.ts', { cwd: root }).sort();
  const registries = await Promise.all(
    files.map(async (file) => {
      const { reasons } = (await import(`${root}${file}`)) as { reasons: Record<string, Reason> };
      const owner = file.split('/').slice(0, 2).join('/');
      return Object.entries(reasons).map(([reason, said]) => ({ reason, owner, ...said }));
    }),
  );
  return registries.flat();
}

export interface UsedReason {
  reason: string;
  path: string;
  /** The code beside it, if it is literal too. */
  code: string | undefined;
}

/** `'INVALID_ARGUMENT', 'PRODUCT_TWICE'` as the first arguments of `new CaudalError` or of a subclass's `super`. */
const thrown = /(?:CaudalError|super)\(\s*'([A-Z_]+)',\s*'([A-Z_]+)'/g;
const refusal = /\brefused\(\s*'([A-Z_]+)'/g;
const missing = /\bnotFound\(\s*'(\w+)'/g;
/**
 * Any word in capitals with an underscore, because reasons also occur in events, in sets and as arguments of helpers.
 */
const word = /'([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)'/g;

/** Every word of the shipped code that is a reason, or looks like one. */
export function wordsInCode(): UsedReason[] {
  return shippedSources()
    .filter(({ path }) => !path.endsWith('/src/reasons.ts'))
    .flatMap(({ path, text }) => [
      ...[...text.matchAll(thrown)].map(([, code, reason]) => ({ reason: reason!, path, code })),
      ...[...text.matchAll(refusal)].map(([, reason]) => ({ reason: reason!, path, code: 'FAILED_PRECONDITION' })),
      ...[...text.matchAll(missing)].map(([, kind]) => ({
        reason: `${kind!.toUpperCase()}_NOT_FOUND`,
        path,
        code: 'NOT_FOUND',
      })),
      ...[...text.matchAll(word)].map(([, reason]) => ({ reason: reason!, path, code: undefined })),
    ]);
}

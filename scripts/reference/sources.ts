/** The text of the shipped sources, for pages that need more than what the modules export. */
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isShipped, workspaces } from '../shipped.ts';

export interface Source {
  /** `services/orders/src/domain/order.ts` */
  path: string;
  text: string;
}

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Every shipped module except generated code, in the order of their paths. */
export function shippedSources(): Source[] {
  return globSync(`{${workspaces.join(',')}}/*/src/**/*.ts`, { cwd: root })
    .filter((path) => isShipped(path) && !path.includes('/gen/'))
    .sort()
    .map((path) => ({ path, text: readFileSync(`${root}${path}`, 'utf8') }));
}

/** The sources that are shipped, as text: for what can only be learnt by reading them. */
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isShipped, workspaces } from '../shipped.ts';

export interface Source {
  /** `services/orders/src/domain/order.ts` */
  path: string;
  text: string;
}

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Every module that goes into production, generated code left out; in the order of their paths. */
export function shippedSources(): Source[] {
  return globSync(`{${workspaces.join(',')}}/*/src/**/*.ts`, { cwd: root })
    .filter((path) => isShipped(path) && !path.includes('/gen/'))
    .sort()
    .map((path) => ({ path, text: readFileSync(`${root}${path}`, 'utf8') }));
}

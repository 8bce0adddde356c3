/** The pages of the documentation: README files and docs/, without those of dependencies. */
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

export interface Page {
  /** `docs/api.md` */
  path: string;
  text: string;
}

/** Every page of the repository. */
export function pages(): Page[] {
  return globSync(['*.md', 'docs/**/*.md', '{apps,charts,packages,services,test}/**/README.md'], {
    cwd: root,
    exclude: (name) => name.includes('node_modules'),
  })
    .sort()
    .map((path) => ({ path, text: readFileSync(root + path, 'utf8') }));
}

/** A page without its code blocks, fenced or indented. */
export function withoutBlocks(text: string): string {
  return text.replace(/^```[\s\S]*?^```$/gm, '').replace(/^ {4}.*$/gm, '');
}

/** The fenced blocks after a `<!-- run -->`. */
export function blocksToRun({ text }: Page): string[] {
  return [...text.matchAll(/^<!-- run -->\n```sh\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);
}

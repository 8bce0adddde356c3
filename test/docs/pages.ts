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
  return text.replace(fenced, '').replace(/^ {4}.*$/gm, '');
}

/** A fenced block of code. */
export interface Block {
  /** The page's path. */
  page: string;
  /** Where its code begins in the page, from 1 on. */
  line: number;
  /** `ts`, `sh`; empty if the fence names none. */
  language: string;
  /** The words after the language: `sketch`. */
  info: string[];
  /** The hidden comments right before it: `run`, `not run: needs a cluster`, `with: import ...`. */
  notes: string[];
  /** Its code, without the indentation of the fence. */
  code: string;
}

const comment = '<!--(?:(?!-->)[\\s\\S])*-->';
const fenced = new RegExp(`((?:^ *${comment}\\n)*)^( *)\`\`\`(\\w*)(.*)\\n([\\s\\S]*?)^\\2\`\`\`$`, 'gm');

/** The fenced blocks of a page, of one language if it is given. */
export function blocksOf({ path, text }: Page, language?: string): Block[] {
  return [...text.matchAll(fenced)]
    .map((found): Block => {
      const [all, comments = '', indent = '', name = '', info = '', code = ''] = found;
      const before = text.slice(0, found.index + all.length - code.length - indent.length - '```'.length);
      return {
        page: path,
        line: before.split('\n').length,
        language: name,
        info: info.trim().split(' ').filter(Boolean),
        notes: [...comments.matchAll(/<!--([\s\S]*?)-->/g)].map(([, note]) => note!.trim()),
        code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
      };
    })
    .filter((block) => language === undefined || block.language === language);
}

/** What a note of the block says behind its name: of `not run: needs a cluster` that is `needs a cluster`. */
export function noteOf({ notes }: Block, name: string): string | undefined {
  const found = notes.find((note) => note === name || note.startsWith(`${name}:`));
  return found?.slice(name.length + 1).trim();
}

/** For messages: `docs/api.md:20`. */
export function placeOf({ page, line }: Block): string {
  return `${page}:${line}`;
}

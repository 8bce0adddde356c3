/** Every fenced block says what it is, so that it is tried; and what is tried nowhere says why. */
import { globSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { type Block, blocksOf, noteOf, pages, placeOf, root, withoutBlocks } from './pages.ts';

const blocks = pages().flatMap((page) => blocksOf(page));
const placesOf = (wanted: (block: Block) => boolean) => blocks.filter(wanted).map(placeOf);

test('a block names its language, one that a test tries; diagrams and answers are text', () => {
  const tried = new Set(['ts', 'sh', 'sql', 'yaml', 'json', 'proto', 'text']);
  // A diff is applied by the test of its page.
  const isEdit = (block: Block) => block.language === 'diff' && noteOf(block, 'edit') !== undefined;
  expect(placesOf((block) => !tried.has(block.language) && !isEdit(block))).toEqual([]);
});

test('a block of commands is run, or says why not', () => {
  const isSaid = (block: Block) => noteOf(block, 'run') === '' || Boolean(noteOf(block, 'not run'));
  expect(placesOf((block) => block.language === 'sh' && !isSaid(block))).toEqual([]);
});

test('in docs/ no code hides from the tests in an indented block', () => {
  const hidden = pages()
    .filter(({ path }) => path.startsWith('docs/'))
    .flatMap(({ path, text }) => {
      const bare = blocksOf({ path, text }).reduce((rest, { code }) => rest.replace(code, ''), text);
      return /\n\n {4,}\S/.test(bare) ? [path] : [];
    });
  expect(hidden).toEqual([]);
});

test('JSON is JSON', () => {
  for (const { language, code } of blocks) if (language === 'json') JSON.parse(code);
});

test('what is shown of the contract stands in it', () => {
  const bare = (text: string) => text.replace(/^\s*\/\/.*\n/gm, '').replaceAll(/\s+/g, ' ');
  const contract = globSync('{proto/caudal,packages/rpc/src/testing/proto}/**/*.proto', { cwd: root })
    .map((file) => bare(readFileSync(root + file, 'utf8')))
    .join('\n');
  const shown = blocks.filter(({ language }) => language === 'proto');
  expect(shown.length).toBeGreaterThan(1);
  expect(shown.filter(({ code }) => !contract.includes(bare(code).trim())).map(placeOf)).toEqual([]);
});

test('blocks are found with their place and notes, also in a list', () => {
  const text =
    'Text\n\n1. A list:\n\n   <!-- with: x -->\n   <!-- run -->\n   ```sh more words\n   a\n     b\n   ```\n';
  expect(blocksOf({ path: 'a.md', text })).toEqual([
    { page: 'a.md', line: 8, language: 'sh', info: ['more', 'words'], notes: ['with: x', 'run'], code: 'a\n  b\n' },
  ]);
  expect(withoutBlocks(text)).not.toContain('a\n');
});

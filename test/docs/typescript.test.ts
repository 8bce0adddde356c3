/** TypeScript in the pages fits the code: each block is a module that tsc checks. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { type Block, blocksOf, noteOf, pages, placeOf, root } from './pages.ts';

const blocks = pages().flatMap((page) => blocksOf(page, 'ts'));
const isSketch = ({ info }: Block) => info.includes('sketch');

const compilerOptions = {
  // A block shows what there is; what it is for may not be in it.
  ...{ noUnusedLocals: false, noUnusedParameters: false, allowUnreachableCode: true },
  typeRoots: [join(root, 'node_modules/@types')],
};

/** What the block takes for granted, in hidden comments before it: `<!-- with: import ... -->`. */
const preamble = (block: Block) => {
  const text = noteOf(block, 'with');
  return text ? `${text}\n` : '';
};

/** What tsc says of the blocks, by their places in the pages. */
async function errorsOf(all: Block[]): Promise<string[]> {
  // Below the project, where imports find its packages; git passes .caudal over.
  mkdirSync(join(root, '.caudal'), { recursive: true });
  const folder = mkdtempSync(join(root, '.caudal/docs-'));
  try {
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: '../../tsconfig.json', compilerOptions, include: ['*.ts'], exclude: [] }),
    );
    for (const [index, block] of all.entries())
      writeFileSync(join(folder, `block${index}.ts`), `${preamble(block)}${block.code}\nexport {};\n`);
    const tsc = join(root, 'node_modules/.bin/tsc');
    const said = await promisify(execFile)(tsc, ['--project', folder, '--pretty', 'false'], { cwd: folder }).then(
      () => '',
      ({ stdout, stderr }) => `${stdout}${stderr}`,
    );
    return said
      .split('\n')
      .filter(Boolean)
      .map((line) =>
        line.replace(/^block(\d+)\.ts\((\d+),\d+\)/, (_, index, at) => {
          const block = all[Number(index)]!;
          return `${block.page}:${block.line + Number(at) - preamble(block).split('\n').length}`;
        }),
      );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('every block of TypeScript has the right types', async () => {
  const checked = blocks.filter((block) => !isSketch(block));
  expect(checked.length).toBeGreaterThan(15);
  expect(await errorsOf(checked)).toEqual([]);
}, 120_000);

test('what is wrong in a block is found, at its line of the page', async () => {
  const wrong: Block = {
    ...{ page: 'page.md', line: 10, language: 'ts', info: [] },
    notes: ["with: import { newId } from '@caudal/kernel/ids.ts';\ndeclare const text: string;"],
    code: 'const id: string = newId();\nconst number: number = text;\n',
  };
  expect(await errorsOf([wrong])).toEqual([expect.stringMatching(/^page\.md:11: error TS2322: /)]);
}, 120_000);

test('sketches, which nothing checks, do not grow in number', () => {
  expect(blocks.filter(isSketch).map(placeOf)).toEqual([]);
});

/** What the pages name exists: files, sections of pages, commands. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, test } from '@jest/globals';
import { pages, root, withoutBlocks } from './pages.ts';

const all = pages();
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
const folders = /^(apps|bin|charts|docs|examples|packages|proto|scripts|services|test|\.ci)\//;

/** The anchor of a heading, as GitHub makes it. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replace(/\s/g, '-');
}

function sectionsOf(path: string): string[] {
  const text = withoutBlocks(readFileSync(join(root, path), 'utf8'));
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchor(heading!));
}

test('every page of the documentation is found', () => {
  expect(all.map(({ path }) => path)).toEqual(expect.arrayContaining(['README.md', 'docs/api.md']));
});

test('every relative link leads to a file, and to a section of it', () => {
  const broken = all.flatMap(({ path, text }) =>
    [...withoutBlocks(text).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link]) => link!)
      .filter((link) => !/^[a-z]+:/.test(link))
      .filter((link) => {
        const [file = '', section] = link.split('#');
        const target = file === '' ? path : normalize(join(dirname(path), file));
        if (!existsSync(join(root, target))) return true;
        return section !== undefined && !sectionsOf(target).includes(section);
      })
      .map((link) => `${link} in ${path}`),
  );
  expect(broken).toEqual([]);
});

test('every path of the repository that a page names exists', () => {
  const missing = all.flatMap(({ path, text }) =>
    [...withoutBlocks(text).matchAll(/`([\w.@/-]+)`/g)]
      .map(([, name]) => name!)
      .filter(
        (name) => folders.test(name) && !existsSync(join(root, name)) && !existsSync(join(root, dirname(path), name)),
      )
      .map((name) => `${name} in ${path}`),
  );
  expect(missing).toEqual([]);
});

test('every npm script that a page names exists', () => {
  const missing = all.flatMap(({ path, text }) =>
    [...text.matchAll(/\bnpm run (?:-s )?([\w-]+)/g)]
      .filter(([, name]) => !Object.hasOwn(scripts, name!))
      .map(([command]) => `${command} in ${path}`),
  );
  expect(missing).toEqual([]);
});

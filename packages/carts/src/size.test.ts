import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { transformSync } from '@swc/core';

/** What a shop's bundler does with a module: no types, no comments, short names. */
const minified = (source: string) =>
  transformSync(source, {
    jsc: { parser: { syntax: 'typescript' }, target: 'es2022', minify: { compress: { module: true }, mangle: true } },
    isModule: true,
    minify: true,
  }).code;

test('all modules for browsers and idb have at most 10 kB, compressed with gzip', () => {
  const folder = new URL('./', import.meta.url);
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !file.startsWith('testing/'),
  );
  const sources = files.map((file) => {
    const source = readFileSync(new URL(file, folder), 'utf8');
    expect([file, source.includes("from 'node:")]).toEqual([file, false]);
    return source;
  });
  expect(files).toContain('browser/browser-cart.ts');
  const idb = readFileSync(createRequire(import.meta.url).resolve('idb/build/index.js'), 'utf8');
  const bytes = gzipSync([...sources, idb].map(minified).join('\n')).length;
  expect(bytes).toBeGreaterThan(4_000);
  expect(bytes).toBeLessThan(10_000);
});

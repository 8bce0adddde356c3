import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { transformSync } from '@swc/core';

test('all modules for browsers have at most 10 kB, compressed', () => {
  const folder = new URL('./', import.meta.url);
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && !file.endsWith('.test.ts'),
  );
  const sources = files.map((file) => {
    const source = readFileSync(new URL(file, folder), 'utf8');
    expect([file, source.includes("from 'node:")]).toEqual([file, false]);
    return transformSync(source, { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, minify: true }).code;
  });
  expect(gzipSync(sources.join('\n')).length).toBeLessThan(10_000);
});

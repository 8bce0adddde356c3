import { expect, test } from '@jest/globals';
import { figureOf } from './figures.ts';
import { withSection } from './report.ts';
import type { Bench } from './types.ts';

const bench = (name: string): Bench => ({
  name,
  title: `About ${name}`,
  compares: `What ${name} compares.`,
  needs: [],
  run: async () => [],
});
const benches = ['first', 'second', 'third'].map(bench);
const page = `# Benchmarks

- 2 cores

## About first

Old.

## About third

Stays.
`;
const figures = [figureOf({ bench: 'second', metric: 'rate', unit: '/s' }, [1, 2, 3])];

test('a benchmark replaces its section of the page, and leaves the others', () => {
  const written = withSection(page, benches, benches[0]!, { about: ['2 cores', 'today, commit abc'], figures });
  expect(written).toBe(`# Benchmarks

- 2 cores

## About first

What first compares.

Measured separately: today, commit abc.

| | median | rounds from – to | goal | |
|---|---|---|---|---|
| rate | 2.00 /s | 1.00 – 3.00 |  |  |

## About third

Stays.
`);
});

test('a new one is put at its place', () => {
  const written = withSection(page, benches, benches[1]!, { about: ['2 cores'], figures });
  expect(written.match(/^## .*$/gm)).toEqual(['## About first', '## About second', '## About third']);
  expect(written).not.toContain('Measured separately');
});

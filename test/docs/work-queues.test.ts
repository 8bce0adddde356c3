/** What tells an operator to delete queues, or what follows from it, excepts those whose messages exist nowhere else. */
import { expect, test } from '@jest/globals';
import { pages } from './pages.ts';

const speaksOfIt = /\bdelete (?:all |the )?(?:RabbitMQ's )?queues\b|\bqueue\b[^|]* purged or deleted/i;

test('queues that end with .work are never to be deleted', () => {
  const found = pages()
    .filter(({ path }) => path.startsWith('docs/operations') || path === 'docs/fail-over.md')
    .flatMap(({ path, text }) =>
      text
        .split(/\n(?:\n|(?=\|))/)
        .filter((block) => speaksOfIt.test(block.replaceAll('\n', ' ')))
        .map((block) => ({ path, block })),
    );
  expect(found.length).toBeGreaterThanOrEqual(2);
  expect(found.filter(({ block }) => !block.includes('`.work`'))).toEqual([]);
});

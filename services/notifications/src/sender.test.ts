import { expect, test } from '@jest/globals';
import { parseSender } from './sender.ts';

test.each([
  ['Caudal <orders@localhost>', { name: 'Caudal', address: 'orders@localhost' }],
  ['orders@shop.example', { name: '', address: 'orders@shop.example' }],
  ['<orders@shop.example>', { name: '', address: 'orders@shop.example' }],
  ['"Bücher & Co." <post@bücher.example> ', { name: 'Bücher & Co.', address: 'post@bücher.example' }],
])('%s is a sender', (text, sender) => {
  expect(parseSender(text)).toEqual(sender);
});

test.each([
  '',
  'Caudal',
  'Caudal <>',
  'Caudal <orders>',
  'a@b.example, c@d.example',
  'Caudal <a@b.example> x',
  'A\nB <a@b.example>',
])('%j is none', (text) => {
  expect(() => parseSender(text)).toThrow(/must be an e-mail address/);
});

import type { DescMessage } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import { contract } from './descriptors.ts';
import { answersPage } from './page.ts';

test('a page is opened in a browser: it has GET routes only', () => {
  const of = (typeName: string, method?: 'GET' | 'POST') => ({
    path: '/a.B/C',
    http: method ? [{ method, template: '/track/{token}', body: method === 'POST' }] : [],
    response: { typeName } as DescMessage,
  });
  expect(answersPage(of('caudal.type.v1.Page', 'GET'))).toBe(true);
  expect(answersPage(of('caudal.orders.v1.Order', 'POST'))).toBe(false);
  expect(() => answersPage(of('caudal.type.v1.Page', 'POST'))).toThrow('/a.B/C: a caudal.type.v1.Page');
  expect(() => answersPage(of('caudal.type.v1.Page'))).toThrow('GET routes only');
});

test('pages take no token: a browser that follows a link has none', () => {
  const pages = contract()
    .methods()
    .filter(({ page }) => page);
  expect(pages.map(({ name, access }) => [name, access.authentication])).toEqual([['ShowTrackingPage', 'NONE']]);
});

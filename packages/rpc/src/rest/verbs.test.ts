import { contract } from '@caudal/contract/descriptors.ts';
import { expect, test } from '@jest/globals';
import { pathOf, routedTemplate, verbSplitter } from './verbs.ts';

const templates = [
  ...new Set(
    contract()
      .methods()
      .flatMap(({ http }) => http.map(({ template }) => template)),
  ),
];
const split = verbSplitter(templates);

test('a path with a verb is routed to its own template, and to no other', () => {
  const withVerb = templates.filter((template) => template.includes(':'));
  expect(withVerb.length).toBeGreaterThan(10);
  for (const template of withVerb) {
    const routed = split(template.replace(/\{\w+\}/g, 'a.b~1'));
    expect([template, templates.filter((other) => pathOf(routedTemplate(other)).test(routed))]).toEqual([
      template,
      [template],
    ]);
  }
});

test('a verb keeps its query, an id its colons', () => {
  expect(split('/v1/orders/1:cancel?a=/v1:b')).toBe('/:cancel/v1/orders/1?a=/v1:b');
  expect(split('/v1/customers/urn:example:user:42')).toBe('/v1/customers/urn:example:user:42');
  expect(split('/v1/customers/urn:example:user:42:erase')).toBe('/:erase/v1/customers/urn:example:user:42');
  expect(split('/v1/parcels:search')).toBe('/:search/v1/parcels');
});

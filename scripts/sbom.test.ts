import { expect, test } from '@jest/globals';
import { locked } from './licenses.ts';
import { sbom } from './sbom.ts';

test('the bill of materials has every shipped package of the lock file, with its checksum and licence', () => {
  const bom = sbom();
  expect(bom).toMatchObject({ bomFormat: 'CycloneDX' });
  const outside = bom.components.filter(({ purl }) => !/caudal/.test(purl));
  const names = new Set(outside.map(({ name, version }) => `${name}@${version}`));
  const shipped = Object.entries(locked()).filter(
    ([folder, of]) =>
      folder.includes('node_modules/') && !of.link && !of.dev && !('optional' in of) && !('devOptional' in of),
  );
  expect(shipped.length).toBeGreaterThan(150);
  const missing = shipped
    .map(([folder, { version }]) => `${folder.split('node_modules/').at(-1)}@${version}`)
    .filter((each) => !names.has(each));
  expect(missing).toEqual([]);
  expect(names.has('jest@30.5.2')).toBe(false);
  for (const { name, hashes, licenses } of outside) {
    expect([name, hashes?.length]).toEqual([name, 1]);
    expect([name, licenses !== undefined && licenses.length > 0]).toEqual([name, true]);
  }
});

test('the same lock file gives the same list', () => {
  expect(sbom()).toEqual(sbom());
});

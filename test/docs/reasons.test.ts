/** The catalogue of reasons (docs/reference/errors.md) and the code agree. */

import type { Settings } from '@caudal/config/config.ts';
import { settings } from '@caudal/server/settings/settings.ts';
import { expect, test } from '@jest/globals';
import { catalogue, wordsInCode } from '../../scripts/reference/catalogue.ts';

const codes = new Set([
  ...['INVALID_ARGUMENT', 'NOT_FOUND', 'ALREADY_EXISTS', 'PERMISSION_DENIED', 'UNAUTHENTICATED', 'FAILED_PRECONDITION'],
  ...['ABORTED', 'OUT_OF_RANGE', 'RESOURCE_EXHAUSTED', 'DEADLINE_EXCEEDED', 'UNAVAILABLE', 'DATA_LOSS'],
]);

/**
 * Words in capitals that are not Caudal's reasons: error codes and options of Node and of libraries, the sandbox's own HTTP
 * answers, and a strength of reads.
 */
const foreign =
  /^(?:(?:FST_ERR|UND_ERR|ERR|HPE|EAI)_\w+|NODE_TLS_REJECT_UNAUTHORIZED|NOT_SERVING|BAD_REQUEST|UNKNOWN_MODE|WHEN_REQUIRED|AT_LEAST)$/;

/** Where words in capitals are statuses of parcels, codes of carriers, or say why one trace of a call was refused. */
const saysStatus = /^(services\/tracking\/src\/(domain|carriers|page|trace-message)|apps\/carrier-simulator\/)/;

/** Settings, with their deprecated names. */
const settingNames = new Set(Object.entries(settings as Settings).flatMap(([name, { formerly }]) => [name, formerly]));

const all = await catalogue();
const known = new Map(all.map((each) => [each.reason, each]));
const used = wordsInCode();

test('every reason that the code uses is in a catalogue', () => {
  const isReason = ({ reason, code, path }: (typeof used)[number]) =>
    code !== undefined ||
    !(saysStatus.test(path) || codes.has(reason) || foreign.test(reason) || settingNames.has(reason));
  const missing = used.filter((use) => isReason(use) && !known.has(use.reason));
  expect(missing.map(({ reason, path }) => `${reason} in ${path}`)).toEqual([]);
});

test('every reason is thrown with the code that the catalogue gives it', () => {
  const otherwise = used.filter(({ reason, code }) => code && known.has(reason) && known.get(reason)!.code !== code);
  expect(otherwise.map(({ reason, code, path }) => `${reason} is ${code} in ${path}`)).toEqual([]);
});

test('every reason of a catalogue is used by the code, and is in one catalogue only', () => {
  const words = new Set(used.map(({ reason }) => reason));
  expect(all.filter(({ reason }) => !words.has(reason)).map(({ reason, owner }) => `${reason} of ${owner}`)).toEqual(
    [],
  );
  expect(all.filter((each) => known.get(each.reason) !== each).map(({ reason }) => reason)).toEqual([]);
});

test('reasons are words in capitals, explained by a sentence', () => {
  for (const { reason, meaning } of all) {
    expect(reason).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
    expect(meaning).toMatch(/^[A-Z].*\.$/);
  }
});

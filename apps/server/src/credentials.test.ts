import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { letPass } from '@caudal/rpc/testing/let-pass.ts';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { credentialsFrom } from './credentials.ts';

type Checks = Parameters<typeof credentialsFrom>[0];

afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
});

const minute = 60_000;
const options = { maxStaleMs: 10 * minute, isRequired: true };
const nothing = { etag: 'empty', unchanged: false, tokenIds: [], subjects: [] };
const unimplemented = new CaudalError('UNIMPLEMENTED', 'UNIMPLEMENTED', 'no such service');

/** A context whose answers a test sets, and what it was asked. */
function context(list: () => Awaited<ReturnType<Checks['listRevoked']>>) {
  const asked: string[] = [];
  const checks: Checks = {
    async listRevoked({ etag }) {
      asked.push(etag);
      return list();
    },
    async checkApiKey() {
      list();
      return { found: false, owner: '', creator: '', permissions: [], secrets: [], expireMillis: 0n };
    },
  };
  return { asked, checks };
}

describe('the list of revocations', () => {
  test('is asked for by its etag, and stays the same object if it has not changed', async () => {
    let answer = { ...nothing, tokenIds: ['t'], subjects: [{ subject: 's', untilMillis: 7n }], etag: 'one' };
    const { asked, checks } = context(() => answer);
    const credentials = credentialsFrom(checks, options);
    const first = await credentials.revocations();
    expect(first).toMatchObject({ tokens: new Set(['t']), subjects: new Map([['s', 7]]) });
    answer = { ...nothing, unchanged: true, etag: 'one' };
    letPass(minute);
    expect(await credentials.revocations()).toBe(first);
    expect(asked).toEqual(['', 'one']);
  });

  test('is empty where the context is not there yet, and is asked for again', async () => {
    let answer: () => typeof nothing = () => {
      throw unimplemented;
    };
    const { checks } = context(() => answer());
    const credentials = credentialsFrom(checks, { ...options, isRequired: false });
    expect((await credentials.revocations()).tokens.size).toBe(0);
    expect(await credentials.apiKey('a')).toBeUndefined();
    answer = () => ({ ...nothing, tokenIds: ['t'] as never });
    letPass(minute);
    expect((await credentials.revocations()).tokens).toEqual(new Set(['t']));
  });

  test.each([true, false])(
    'that was read stays, whoever answers that there is none (required: %s)',
    async (isRequired) => {
      let there = true;
      const key = { found: true, owner: 'm', creator: 'm', permissions: [], secrets: [], expireMillis: 9_000n };
      const { checks } = context(() => {
        if (!there) throw unimplemented;
        return { ...nothing, tokenIds: ['stolen'] as never };
      });
      const checkApiKey = async () => {
        await checks.listRevoked({ etag: '' });
        return key;
      };
      const credentials = credentialsFrom({ ...checks, checkApiKey }, { ...options, isRequired });
      const list = await credentials.revocations();
      expect(await credentials.apiKey('a')).toMatchObject({ owner: 'm' });
      there = false;
      for (let time = 0; time < 3; time++) {
        letPass(minute);
        expect(await credentials.revocations()).toBe(list);
        expect(await credentials.apiKey('a')).toMatchObject({ owner: 'm' });
      }
      await expect(async () => credentials.apiKey('b')).rejects.toMatchObject({ code: 'UNIMPLEMENTED' });
      letPass(11 * minute);
      await expect(async () => credentials.revocations()).rejects.toMatchObject({ code: 'UNIMPLEMENTED' });
    },
  );

  test('that is required is not empty because a process says that there is none', async () => {
    let answer: () => typeof nothing = () => {
      throw unimplemented;
    };
    const credentials = credentialsFrom(context(() => answer()).checks, options);
    await expect(async () => credentials.revocations()).rejects.toMatchObject({ code: 'UNIMPLEMENTED' });
    await expect(async () => credentials.apiKey('a')).rejects.toMatchObject({ code: 'UNIMPLEMENTED' });
    answer = () => nothing;
    letPass(minute);
    expect((await credentials.revocations()).tokens.size).toBe(0);
  });

  test('that was never reached: required, nothing counts; else nothing is revoked after a while, until it is', async () => {
    let away = true;
    const { checks } = context(() => {
      if (away) throw unavailable('credentials');
      return { ...nothing, tokenIds: ['t'] as never };
    });
    await expect(async () => credentialsFrom(checks, options).revocations()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    const auto = credentialsFrom(checks, { ...options, isRequired: false });
    await expect(async () => auto.revocations()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    letPass(6_000);
    const later = performance.now() + 6_000;
    jest.spyOn(performance, 'now').mockImplementation(() => later);
    expect((await auto.revocations()).tokens.size).toBe(0);
    away = false;
    letPass(minute);
    expect((await auto.revocations()).tokens).toEqual(new Set(['t']));
    // From then on it is missed.
    away = true;
    letPass(11 * minute);
    await expect(async () => auto.revocations()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

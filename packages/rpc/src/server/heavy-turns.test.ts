import { CaudalError } from '@caudal/kernel/errors.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { stopAll, token } from '../testing/fixture.ts';
import { probeServices, startWith } from '../testing/probe.ts';
import { openHeavyTurns } from './heavy-turns.ts';
import type { Party } from './places.ts';

const party = (key: string, kind: Party['kind'] = 'caller'): Party => ({ key, kind });
const call = () => ({ signal: new AbortController().signal });
/** Takes a turn, and notes when it begins. */
function taking(turns: ReturnType<typeof openHeavyTurns>, begun: string[], key: string, kind?: Party['kind']) {
  const turn = Promise.resolve(turns.take(party(key, kind), call()));
  turn.then(() => begun.push(key)).catch(() => {});
  return async () => (await turn)();
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

afterEach(async () => {
  jest.useRealTimers();
  await stopAll();
});

describe('turns', () => {
  test.each([
    ['caller', 4],
    ['nobody', 4],
    ['any', 7],
    ['own', 7],
  ] as const)('of eight turns a party of the kind %s has %i', async (kind, has) => {
    const turns = openHeavyTurns({ maxHeavy: 8 });
    const begun: string[] = [];
    for (let n = 0; n < 12; n++) taking(turns, begun, 'hog', kind);
    await settled();
    expect([begun.length, turns.counts()]).toEqual([has, { running: has, waiting: 12 - has }]);
    taking(turns, begun, 'other');
    await settled();
    expect(begun.at(-1)).toBe('other');
  });

  test('callers that wait are served in turn, and a turn ends once', async () => {
    const turns = openHeavyTurns({ maxHeavy: 2 });
    const begun: string[] = [];
    const first = taking(turns, begun, 'x');
    const second = taking(turns, begun, 'y');
    for (let n = 0; n < 3; n++) taking(turns, begun, 'hog');
    const modest = taking(turns, begun, 'modest');
    await settled();
    await first();
    await first();
    await settled();
    expect(begun).toEqual(['x', 'y', 'hog']);
    await second();
    await settled();
    expect(begun).toEqual(['x', 'y', 'hog', 'modest']);
    await modest();
    await settled();
    // The hog has its one turn of two already.
    expect([begun.length, turns.counts()]).toEqual([4, { running: 1, waiting: 2 }]);
  });

  test('waits are bounded for a caller and for all', async () => {
    const turns = openHeavyTurns({ maxHeavy: 2 });
    const fill = (key: string) => {
      for (let taken = 0; ; taken++) {
        try {
          Promise.resolve(turns.take(party(key), call())).catch(() => {});
        } catch (error) {
          expect(error).toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'TOO_MANY_HEAVY_CALLS' });
          expect((error as CaudalError).retryAfterMs).toBeGreaterThanOrEqual(500);
          return taken;
        }
      }
    };
    expect([fill('a'), fill('b'), fill('c')]).toEqual([33, 33, 32]);
    for (let n = 0; n < 5; n++) expect(fill(`d${n}`)).toBe(32);
    expect([fill('e'), turns.counts()]).toEqual([0, { running: 2, waiting: 256 }]);
  });

  test('a wait ends after a while, or with its call, and leaves nothing', async () => {
    jest.useFakeTimers();
    const turns = openHeavyTurns({ maxHeavy: 2 });
    const end = turns.take(party('a'), call()) as () => void;
    const late = turns.take(party('a'), call()) as Promise<never>;
    const gone = new AbortController();
    const left = turns.take(party('a'), gone) as Promise<never>;
    const expected = [
      expect(late).rejects.toMatchObject({ reason: 'TOO_MANY_HEAVY_CALLS' }),
      expect(left).rejects.toBe('gone'),
    ];
    gone.abort('gone');
    jest.advanceTimersByTime(2_000);
    await Promise.all(expected);
    expect(() => turns.take(party('a'), gone)).toThrow();
    expect(turns.counts()).toEqual({ running: 1, waiting: 0 });
    end();
    expect(turns.counts()).toEqual({ running: 0, waiting: 0 });
  });
});

test('a heavy method runs so often at once and gives its turn back after an error', async () => {
  let running = 0;
  let most = 0;
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const [commands, queries] = probeServices();
  const importProbe = async () => {
    most = Math.max(most, ++running);
    await gate;
    running--;
    throw new CaudalError('FAILED_PRECONDITION', 'PROBE', 'Not now.');
  };
  const handlers = { ...commands!.handlers, importProbe };
  const server = await startWith([{ ...commands!, handlers }, queries!], { limits: { maxHeavy: 2 } });
  const post = async (subject: string) =>
    fetch(`${server.url}/v1/probes:import`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await token(subject, ['probe.probes.write'])}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ probeId: 'p-1', ownerId: subject }),
    });
  const calls = ['a', 'b', 'c', 'a', 'b'].map(post);
  await until(() => running === 2);
  open();
  const answers = await Promise.all(calls);
  expect(answers.map(({ status }) => status)).toEqual([400, 400, 400, 400, 400]);
  expect([most, running]).toEqual([2, 0]);
});

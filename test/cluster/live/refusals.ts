/** Errors at the start: each has a message that says what is wrong and what to do. */
import { describe, expect, test } from '@jest/globals';
import { until } from '../../e2e/wait.ts';
import { kubectl, lookEveryMs, pods } from './cluster.ts';
import { type Release, releaseTest } from './release.ts';

const sayMs = 90_000;

/** Tests before the first installation: they leave nothing behind. */
export function refusesWhatCannotWork(release: () => Release): void {
  describe('the chart checks with the cluster before anything is installed', () => {
    test.each([
      ['a misspelt value', { workloads: { query: { replicaz: 3 } } }, /replicaz/],
      [
        'a role that does not exist',
        { workloads: { query: { roles: ['querry'] } } },
        /roles.*\n?.*(querry|must be one of)/,
      ],
      [
        'a Secret that does not exist',
        { secrets: { MONGODB_URL: { existingSecret: 'nowhere' } } },
        /secrets\.MONGODB_URL\.existingSecret: the namespace \S+ has no Secret nowhere/,
      ],
      [
        'a key that the Secret does not have',
        { secrets: { REDIS_URL: { existingSecret: 'caudal', key: 'nothing' } } },
        /secrets\.REDIS_URL\.key: the Secret caudal has no key nothing/,
      ],
    ])('%s is refused, and the message has its name', async (_, values, message) => {
      await expect(release().check(values)).rejects.toThrow(message);
    });
  });

  releaseTest(release)(
    'while PostgreSQL is unreachable the installation waits and says why; it continues when PostgreSQL is back',
    async () => {
      const { namespace, proxies, deploy } = release();
      proxies.DATABASE_URL!.refuse(true);
      const installing = deploy();
      installing.catch(() => {});
      try {
        const said = await untilSaid(namespace, /PostgreSQL can't be reached/);
        expect(said).not.toMatch(/postgres:\/\/\S+:\S+@/);
        expect((await pods(namespace)).filter(({ ready }) => ready)).toEqual([]);
      } finally {
        proxies.DATABASE_URL!.refuse(false);
      }
      await installing;
    },
    400_000,
  );
}

/** Waits until the migration has failed with this reason; returns its log. */
function untilSaid(namespace: string, reason: RegExp): Promise<string> {
  const said = async () => {
    const failed = (await pods(namespace)).find(({ phase }) => phase === 'Failed');
    return failed ? kubectl(['logs', failed.name, '-n', namespace]) : '';
  };
  return until(`the migration says ${reason}`, said, (log) => reason.test(log), sayMs, lookEveryMs);
}

/** What `npm start` takes of a newcomer's machine: memory after orders, and processor time while idle. */
import { setTimeout as delay } from 'node:timers/promises';
import { figureOf } from '../figures.ts';
import { npmStart } from '../npm-start.ts';
import { openOrderLoad } from '../order-load.ts';
import { cpuSecondsOf, residentOf } from '../process-tree.ts';
import type { Bench } from '../types.ts';

const bench = 'laptop';
const maxResidentMib = 450;
const maxIdlePercent = 1;
/** The interval of memory measurements. */
const lookMs = 500;

export const laptop: Bench = {
  name: bench,
  title: 'On a laptop',
  compares:
    '"npm start", with the embedded PostgreSQL. Resident memory of npm, its shell and the program together, without PostgreSQL: when it is ready, its maximum during 10,000 orders, and after them. Then, while the system is idle, the processor time of these and of PostgreSQL, in percent of one core.',
  needs: [],

  async run({ quick, say }) {
    const orders = quick ? 1_000 : 10_000;
    const rounds = quick ? 2 : 5;
    const roundMs = quick ? 10_000 : 20_000;
    const system = await npmStart();
    const resident = () => residentOf(system.pid).reduce((sum, { mib }) => sum + mib, 0);
    let most = resident();
    const ready = most;
    const looking = setInterval(() => {
      most = Math.max(most, resident());
    }, lookMs);
    try {
      const load = await openOrderLoad(system);
      const began = performance.now();
      let confirmed = 0;
      while (confirmed < orders) {
        confirmed += await load.run(2);
        say(`${confirmed} of ${orders} orders`);
      }
      const rate = confirmed / ((performance.now() - began) / 1_000);
      await load.settle();
      await load.close();
      // PostgreSQL cleans up for a minute or two after writes.
      say('waiting until it is idle');
      await delay(quick ? 5_000 : 120_000);
      const after: number[] = [];
      const used: { own: number; postgres: number }[] = [];
      for (let round = 1; round <= rounds; round++) {
        say(`idle: round ${round} of ${rounds}`);
        const before = {
          own: cpuSecondsOf(system.pid),
          postgres: cpuSecondsOf(system.postgresPid),
          at: performance.now(),
        };
        await delay(roundMs);
        const percent = (seconds: number) => (seconds * 100_000) / (performance.now() - before.at);
        used.push({
          own: percent(cpuSecondsOf(system.pid) - before.own),
          postgres: percent(cpuSecondsOf(system.postgresPid) - before.postgres),
        });
        after.push(resident());
      }
      const memoryGoal = { kind: 'atMost', value: maxResidentMib } as const;
      return [
        figureOf({ bench, metric: 'orders', unit: '/s' }, [rate]),
        figureOf({ bench, metric: 'ready', unit: 'MiB' }, [ready]),
        figureOf({ bench, metric: 'most', unit: 'MiB', goal: memoryGoal }, [most]),
        figureOf({ bench, metric: 'after', unit: 'MiB', goal: memoryGoal }, after),
        figureOf(
          { bench, metric: 'idle', unit: '%', goal: { kind: 'atMost', value: maxIdlePercent } },
          used.map(({ own, postgres }) => own + postgres),
        ),
        figureOf(
          { bench, metric: 'idle.own', unit: '%' },
          used.map(({ own }) => own),
        ),
        figureOf(
          { bench, metric: 'idle.postgres', unit: '%' },
          used.map(({ postgres }) => postgres),
        ),
      ];
    } finally {
      clearInterval(looking);
      await system.stop();
    }
  },
};

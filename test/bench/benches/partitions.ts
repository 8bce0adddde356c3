/** What several consumers of one handler cost each other on few hot streams. */
import { figureOf, percentile, ratioOf } from '../figures.ts';
import type { Bench, Figure } from '../types.ts';
import { measureLag, type Outcome } from './lag.ts';

const rate = 500;

export const partitions: Bench = {
  name: 'partitions',
  title: 'Several consumers on few streams',
  compares: `${rate} events a second over 1 stream and over 20, through log, relay and RabbitMQ into views in PostgreSQL: 8 consumers with 8 parts against 1 consumer, in one run. Re-reads: queries for events that the broker delivered out of order. All consumers share one process, so what they add is the cost of coordination, not of processors.`,
  needs: ['postgres', 'rabbitmq'],

  async run({ quick, say }) {
    const figures: Figure[] = [];
    const rounds = quick ? 1 : 3;
    for (const streams of [1, 20]) {
      const outcomes = new Map<number, Outcome[]>([
        [1, []],
        [8, []],
      ]);
      for (let round = 1; round <= rounds; round++)
        for (const [consumers, of] of outcomes) {
          say(`${streams} streams, ${consumers} consumers: round ${round} of ${rounds}`);
          const seconds = quick ? 5 : 15;
          of.push(await measureLag({ store: 'postgres', consumers, seconds, rate, streams, parts: 8 }));
        }
      const [one, eight] = [outcomes.get(1)!, outcomes.get(8)!];
      const p99 = (of: Outcome[]) => of.map(({ lags }) => percentile(lags, 0.99));
      figures.push(
        figureOf(
          {
            bench: 'partitions',
            metric: `streams-${streams}.re-reads`,
            unit: '/event',
            goal: { kind: 'atMost', value: 0.01 },
          },
          eight.map(({ lags, logReads }) => logReads / lags.length),
        ),
        figureOf({ bench: 'partitions', metric: `streams-${streams}.1.p99`, unit: 'ms' }, p99(one)),
        figureOf({ bench: 'partitions', metric: `streams-${streams}.8.p99`, unit: 'ms' }, p99(eight)),
        ratioOf(
          { bench: 'partitions', metric: `streams-${streams}.p99-vs-1`, goal: { kind: 'atMost', value: 1.3 } },
          p99(eight),
          p99(one),
        ),
      );
    }
    return figures;
  },
};

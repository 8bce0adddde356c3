/**
 * Makes deposits at a given rate, in a process of its own: the clock that decides when a call is made must not stand
 * still because the test is busy. Messages from its parent say what to do, one after the other; each is answered with
 * its outcomes.
 */
import { type Deposit, type LeanClient, openLeanClient } from './lean-client.ts';

export interface Target {
  rest: string;
  /** `host:port` */
  grpc: string;
  token: string;
  walletIds: string[];
}

export type Order =
  | { kind: 'target'; target: Target }
  /** This many callers; each waits for its answer before it calls again. */
  | { kind: 'closed'; callers: number; seconds: number }
  /** This many calls per second, whatever becomes of the calls before. */
  | { kind: 'open'; perSecond: number; seconds: number };

/** The outcomes of one second. */
export interface Second {
  offered: number;
  /** The number of calls answered in this second. */
  done: number;
  refused: number;
  /** For calls that were done: the time from when the call was due until its answer, in milliseconds. */
  doneMs: number[];
  refusedMs: number[];
  /** The maximum delay of a call behind its due time, in milliseconds. */
  lateMs: number;
}

export interface Outcomes {
  seconds: Second[];
  /** The references of the deposits that were done. */
  done: string[];
  /** Those that were refused. */
  refused: string[];
  /** All other outcomes, with their counts. */
  instead: Record<string, number>;
  unknown: string[];
}

/** The interval between rounds of calls. */
const roundMs = 2;

let client: LeanClient | undefined;
let walletIds: string[] = [];
let made = 0;

function nextDeposit(): Deposit {
  made += 1;
  return { walletId: walletIds[made % walletIds.length]!, reference: `overload-${made}` };
}

async function run(order: Exclude<Order, { kind: 'target' }>): Promise<Outcomes> {
  const outcomes: Outcomes = { seconds: [], done: [], refused: [], instead: {}, unknown: [] };
  const began = performance.now();
  const secondAt = (at: number): Second => {
    const index = Math.floor((at - began) / 1000);
    // Fills up, so that a second without any call has an entry too.
    while (outcomes.seconds.length <= index)
      outcomes.seconds.push({ offered: 0, done: 0, refused: 0, doneMs: [], refusedMs: [], lateMs: 0 });
    return outcomes.seconds[index]!;
  };

  async function call(due: number): Promise<void> {
    const deposit = nextDeposit();
    const second = secondAt(due);
    second.offered += 1;
    second.lateMs = Math.max(second.lateMs, performance.now() - due);
    const outcome = await client![made % 2 === 0 ? 'rest' : 'grpc'](deposit);
    const ended = performance.now();
    if (typeof outcome === 'object') {
      outcomes.instead[outcome.instead] = (outcomes.instead[outcome.instead] ?? 0) + 1;
      outcomes.unknown.push(deposit.reference);
      return;
    }
    outcomes[outcome].push(deposit.reference);
    secondAt(ended)[outcome] += 1;
    secondAt(due)[`${outcome}Ms`].push(Math.round((ended - due) * 10) / 10);
  }

  if (order.kind === 'closed') {
    const until = began + order.seconds * 1000;
    const caller = async () => {
      while (performance.now() < until) await call(performance.now());
    };
    await Promise.all(Array.from({ length: order.callers }, caller));
  } else {
    const gapMs = 1000 / order.perSecond;
    const total = Math.round(order.perSecond * order.seconds);
    const underWay = new Set<Promise<void>>();
    let offered = 0;
    await new Promise<void>((done) => {
      const round = setInterval(() => {
        const due = Math.min(total, 1 + Math.floor((performance.now() - began) / gapMs));
        for (; offered < due; offered++) {
          const one = call(began + offered * gapMs).finally(() => underWay.delete(one));
          underWay.add(one);
        }
        if (offered < total) return;
        clearInterval(round);
        done();
      }, roundMs);
    });
    await Promise.all(underWay);
  }
  return outcomes;
}

process.on('message', async (order: Order) => {
  if (order.kind === 'target') {
    client = openLeanClient(order.target);
    walletIds = order.target.walletIds;
    return;
  }
  process.send!(await run(order));
});
process.on('disconnect', () => process.exit());

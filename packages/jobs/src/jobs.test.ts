import { newId } from '@caudal/kernel/ids.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { startTcpProxy, type TcpProxy, through } from '@caudal/testing/tcp-proxy.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { guardedDatabase } from './guarded-database.ts';
import { claimJob, declareJobs, endRun, removeJob, renewLease, stillHolds } from './job-store.ts';
import { type RunJobsOptions, type RunningJobs, runJobs } from './jobs.ts';
import { runJobNow } from './run-now.ts';
import { useDatabase } from './testing/database.ts';
import { type GuardedDatabase, type Job, LeaseLost } from './types.ts';

const leaseMs = 600;

describeWith(['postgres'], 'jobs', () => {
  const orders = useDatabase();
  const running: RunningJobs[] = [];
  afterEach(async () => {
    await Promise.all(running.splice(0).map((jobs) => jobs.stop()));
    await orders.database.query({ text: 'TRUNCATE jobs, written' });
  });

  type Run = Job<GuardedDatabase>['run'];
  const hourly = (name: string, run: Run, more: Partial<Job<GuardedDatabase>> = {}): Job<GuardedDatabase> => ({
    ...{ name, description: 'A test.', schedule: { everyMs: 3_600_000 }, run },
    ...more,
  });
  const start = (jobs: Job<GuardedDatabase>[], more: Partial<RunJobsOptions<GuardedDatabase>> = {}) => {
    const options = { database: orders.open(), context: 'orders', jobs, holder: newId(), leaseMs, pollMs: 50 };
    const started = runJobs({ ...options, graceMs: 200, tools: (guarded) => guarded, ...more });
    running.push(started);
    return started;
  };
  async function until<T>(what: string, read: () => Promise<T>, there: (value: T) => boolean): Promise<T> {
    const deadline = performance.now() + 10_000;
    for (;;) {
      const value = await read();
      if (there(value)) return value;
      if (performance.now() > deadline) throw new Error(`Not in time: ${what}. At last: ${JSON.stringify(value)}`);
      await sleep(10);
    }
  }
  const recordOf = (name: string) => () => orders.record(name).catch(() => undefined);
  const ended = (name: string, outcome: string) =>
    until(`${name} ${outcome}`, recordOf(name), (record) => record?.holder === null && record.lastOutcome === outcome);
  const write =
    (name: string): Run =>
    async (db, { token }) => {
      await db.transaction((tx) => tx.query({ text: 'INSERT INTO written VALUES ($1, $2)', values: [name, token] }));
    };

  describe('when they are due', () => {
    test('five processes together run times that were missed for days once', async () => {
      await declareJobs(orders.database, ['missed']);
      await orders.set('missed', "last_started_at = now() - interval '9 days', last_ended_at = last_started_at");
      let atOnce = 0;
      const job = hourly('missed', async (...of) => {
        expect(++atOnce).toBe(1);
        await write('missed')(...of);
        await sleep(100);
        atOnce -= 1;
      });
      for (let process = 0; process < 5; process++) start([job]);
      await ended('missed', 'succeeded');
      // All have polled several times since.
      await sleep(400);
      expect(await orders.tokensOf('missed')).toEqual([1]);
      const record = await orders.record('missed');
      expect(record).toMatchObject({ epoch: 1, failures: 0, lastError: null });
      expect(record.lastSuccessAt).toEqual(record.lastEndedAt);
    });

    test('an interval counts from the last run, in whichever process it was', async () => {
      const every = { schedule: { everyMs: 1_000 } };
      start([hourly('ticks', write('ticks'), every)]);
      start([hourly('ticks', write('ticks'), every)]);
      const before = await until('the first', recordOf('ticks'), (record) => (record?.epoch ?? 0) > 0);
      const after = await until('the third', recordOf('ticks'), (record) => record!.epoch === 3);
      const took = after!.lastStartedAt!.getTime() - before!.lastStartedAt!.getTime();
      expect(took).toBeGreaterThanOrEqual(2_000);
      expect(took).toBeLessThan(8_000);
    });

    test('with atStart run at each start, also right after a run', async () => {
      const job = hourly('starts', write('starts'), { atStart: true });
      await start([job]).stop();
      await ended('starts', 'succeeded').catch(() => {});
      const { epoch } = await orders.record('starts');
      start([job]);
      await until(
        'another run',
        recordOf('starts'),
        (record) => record!.epoch === epoch + 1 && record!.holder === null,
      );
    });

    test('a deleted row is made again', async () => {
      start([hourly('gone', write('gone'))]);
      await ended('gone', 'succeeded');
      await orders.database.query({ text: 'DELETE FROM jobs' });
      await ended('gone', 'succeeded');
    });

    test('a lease that was taken before the clock was set back is void', async () => {
      await declareJobs(orders.database, ['set-back']);
      await orders.set(
        'set-back',
        "holder = 'x', lease_until = now() + interval '1 day', epoch = 7, failures_in_row = 3",
      );
      await orders.set('set-back', "last_started_at = now() + interval '1 day'");
      start([hourly('set-back', write('set-back'))]);
      await ended('set-back', 'succeeded');
      expect(await orders.tokensOf('set-back')).toEqual([8]);
    });

    test('a process takes over at once a run that an earlier process of its name has left', async () => {
      await declareJobs(orders.database, ['left']);
      await orders.set('left', "holder = 'embedded', lease_until = now() + interval '30 s', last_started_at = now()");
      start([hourly('left', write('left'))], { holder: 'embedded' });
      await ended('left', 'succeeded');
      expect(await orders.record('left')).toMatchObject({ failures: 1, failuresInRow: 0 });
    });
  });

  describe('that go wrong', () => {
    test('are recorded, with a bounded error without passwords, and not repeated at once', async () => {
      let calls = 0;
      const run = async () => {
        calls += 1;
        throw new TypeError(`can't reach postgres://me:secret@db/x ${'x'.repeat(5_000)}`);
      };
      start([hourly('fails', run)]);
      const record = await ended('fails', 'failed');
      expect(record).toMatchObject({ failures: 1, failuresInRow: 1, lastSuccessAt: null });
      expect(record!.lastError).toMatch(/^TypeError: can't reach postgres:\/\/me:\*\*\*@db\/x x+$/);
      expect(record!.lastError).toHaveLength(1_000);
      await sleep(300);
      expect(calls).toBe(1);
      // The pause after the first failure is a minute.
      await orders.set('fails', "last_started_at = now() - interval '61 s', last_ended_at = now() - interval '61 s'");
      await until('the next try', recordOf('fails'), (now) => now!.failuresInRow === 2);
    });

    test('if they take too long, the signal fires, and the lease is renewed until then', async () => {
      let heard = false;
      const run: Run = async (_, { signal }) => {
        await sleep(60_000, signal);
        heard = signal.aborted;
      };
      start([hourly('slow', run, { timeoutMs: leaseMs * 2 })]);
      const record = await ended('slow', 'timed_out');
      expect(heard).toBe(true);
      expect(record).toMatchObject({ epoch: 1, failures: 1, lastError: `It took longer than ${leaseMs * 2} ms.` });
    });

    test('if they ignore their signal, they are recorded, and only other processes begin the next run', async () => {
      let release = () => {};
      const stubborn = hourly('stubborn', () => new Promise((resolve) => (release = resolve)), { timeoutMs: 50 });
      const first = start([stubborn]);
      await ended('stubborn', 'timed_out');
      await orders.set('stubborn', "last_started_at = now() - interval '1 day', last_ended_at = last_started_at");
      await sleep(300);
      expect((await orders.record('stubborn')).epoch).toBe(1);
      start([hourly('stubborn', write('stubborn'))]);
      await ended('stubborn', 'succeeded');
      release();
      await first.stop();
    });

    test('a run whose lease is taken ends, and the other run makes the record', async () => {
      let reason: unknown;
      let began = false;
      const run: Run = async (_, { signal }) => {
        began = true;
        await sleep(60_000, signal);
        reason = signal.reason;
      };
      start([hourly('taken', run)]);
      await until('it runs', async () => began, Boolean);
      await orders.set('taken', "epoch = 9, holder = 'other', lease_until = now() + interval '50 s'");
      await until('the signal', async () => reason, Boolean);
      expect(String(reason)).toContain('Another process has the job');
      expect(await orders.record('taken')).toMatchObject({ epoch: 9, holder: 'other', lastOutcome: null });
    });

    test('a process that ends interrupts its runs, and does not wait for one that ignores it', async () => {
      const jobs = start([hourly('deaf', () => new Promise(() => {}))]);
      await until('it runs', recordOf('deaf'), (record) => record?.holder != null);
      const began = performance.now();
      await jobs.stop();
      expect(performance.now() - began).toBeLessThan(3_000);
      expect(await orders.record('deaf')).toMatchObject({ holder: null, lastOutcome: 'interrupted', failures: 0 });
    });
  });

  describe('while the database is unreachable', () => {
    let proxy: TcpProxy;
    beforeEach(async () => {
      proxy = await startTcpProxy(orders.url);
    });
    afterEach(() => proxy.close());
    const startThrough = (job: Job<GuardedDatabase>) =>
      start([job], { database: orders.open(through(proxy, orders.url)) });

    test('a run loses its lease when that expires, and is repeated when the database is back', async () => {
      const aborted: number[] = [];
      let began = 0;
      startThrough(
        hourly('cut-off', async (_, { signal, token }) => {
          began = token;
          if (token > 1) return;
          await sleep(60_000, signal);
          aborted.push(performance.now());
        }),
      );
      await until(
        'it runs',
        async () => began,
        (token) => token === 1,
      );
      const since = performance.now();
      proxy.silence(true);
      await until(
        'the signal',
        async () => aborted.length,
        (count) => count === 1,
      );
      // Renewed up to a third of a lease before the silence began.
      expect(aborted[0]! - since).toBeLessThan(leaseMs + 1_000);
      proxy.silence(false);
      await until(
        'the next run',
        async () => began,
        (token) => token === 2,
      );
      expect(await ended('cut-off', 'succeeded')).toMatchObject({ failures: 1, failuresInRow: 0 });
    });

    test('a run whose end can not be recorded is repeated', async () => {
      let runs = 0;
      startThrough(
        hourly('unrecorded', async () => {
          runs += 1;
          if (runs > 1) return;
          proxy.refuse(true);
          proxy.cut();
        }),
      );
      await until(
        'it has run',
        async () => runs,
        (count) => count === 1,
      );
      const left = await orders.record('unrecorded');
      expect(left).toMatchObject({ epoch: 1, lastEndedAt: null });
      expect(left.holder).not.toBeNull();
      proxy.refuse(false);
      await ended('unrecorded', 'succeeded');
      // Recorded after all if the database was back within a lease, else run again.
      expect((await orders.record('unrecorded')).epoch).toBe(runs);
    });

    test('for longer than a lease, the run is repeated with a new token', async () => {
      const tokens: number[] = [];
      startThrough(
        hourly('repeated', async (_, { token }) => {
          tokens.push(token);
          if (tokens.length > 1) return;
          proxy.refuse(true);
          proxy.cut();
        }),
      );
      const over = async () => (await orders.record('repeated')).leaseUntil;
      await until(
        'it has run',
        async () => tokens.length,
        (count) => count === 1,
      );
      const leaseUntil = await over();
      await until(
        'its lease is long over',
        async () => Date.now() - leaseUntil!.getTime(),
        (ms) => ms > leaseMs * 3,
      );
      proxy.refuse(false);
      expect(await ended('repeated', 'succeeded')).toMatchObject({ epoch: 2, failures: 1, failuresInRow: 0 });
      expect(tokens).toEqual([1, 2]);
    });
  });

  describe('the transaction of a run', () => {
    const claimed = async (name: string) => {
      await declareJobs(orders.database, [name]);
      const of = { name, epoch: 0, holder: 'first', leaseMs: 1, runningOn: 'here' };
      return (await claimJob(orders.database, of))!;
    };
    const takeOver = (name: string, holder = 'second') =>
      claimJob(orders.database, { name, epoch: 1, holder, leaseMs: 60_000, runningOn: 'there' });

    test('is rolled back if the lease is lost during it', async () => {
      const claim = await claimed('guarded');
      const database = guardedDatabase(orders.open(), claim);
      const insert = { text: "INSERT INTO written VALUES ('guarded', 1)" };
      await database.transaction((tx) => tx.query(insert));
      const late = database.transaction(async (tx) => {
        await tx.query(insert);
        await until('the lease is over', () => takeOver('guarded'), Boolean);
      });
      await expect(late).rejects.toThrow(LeaseLost);
      await expect(database.transaction((tx) => tx.query(insert))).rejects.toThrow('Run 1 of the job guarded');
      expect(await orders.tokensOf('guarded')).toEqual([1]);
    });

    test('is also rolled back after the run was recorded', async () => {
      const claim = await claimed('over');
      expect(await endRun(orders.database, { ...claim, outcome: 'timed_out' })).toBe(true);
      expect(await endRun(orders.database, { ...claim, outcome: 'succeeded' })).toBe(false);
      expect(await renewLease(orders.database, { ...claim, leaseMs })).toBe(false);
      await expect(guardedDatabase(orders.open(), claim).transaction(async () => {})).rejects.toThrow(LeaseLost);
    });

    test('is committed before another run begins, once it was checked', async () => {
      const claim = await claimed('locked');
      let taken: Promise<unknown> = Promise.resolve();
      let done = false;
      await orders.open().transaction(async (tx) => {
        expect(await stillHolds(tx, claim)).toBe(true);
        await sleep(10);
        taken = takeOver('locked').then((other) => {
          done = true;
          return other;
        });
        await until(
          'it waits for the lock',
          () => orders.database.query({ text: "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'" }),
          (rows) => rows.length > 0,
        );
        expect(done).toBe(false);
      });
      expect(await taken).toMatchObject({ epoch: 2 });
    });

    test('of two claims of the same row one begins, even if its run ends before the other claim', async () => {
      const claim = await claimed('raced');
      await endRun(orders.database, { ...claim, outcome: 'succeeded' });
      const ask = (holder: string) => takeOver('raced', holder);
      const [a, b] = await Promise.all([ask('a'), ask('b')]);
      expect([a, b].filter(Boolean)).toHaveLength(1);
      await endRun(orders.database, { name: 'raced', epoch: 2, outcome: 'succeeded' });
      expect(await ask('late')).toBeUndefined();
    });
  });

  describe('on request', () => {
    const now = (job: Job<GuardedDatabase>) =>
      runJobNow({
        ...{ database: orders.open(), context: 'orders', job, signal: new AbortController().signal },
        tools: (guarded) => guarded,
      });

    test('a job runs although it is not due, but not while it runs elsewhere', async () => {
      const job = hourly('by-hand', write('by-hand'), { schedule: '0 0 1 1 *' });
      expect(await now(job)).toMatchObject({ ran: { outcome: 'succeeded' } });
      await orders.set('by-hand', "holder = 'x', running_on = 'host-7', lease_until = now() + interval '20 s'");
      expect(await now(job)).toMatchObject({ heldBy: { runningOn: 'host-7', epoch: 1 } });
      expect(await orders.tokensOf('by-hand')).toEqual([1]);
    });

    test('the row of a job that is no longer declared can be removed, unless it runs', async () => {
      await declareJobs(orders.database, ['old']);
      await orders.set('old', "holder = 'x', lease_until = now() + interval '20 s'");
      expect(await removeJob(orders.database, 'old')).toBe(false);
      await orders.set('old', 'holder = NULL');
      expect(await removeJob(orders.database, 'old')).toBe(true);
      expect(await removeJob(orders.database, 'old')).toBe(false);
    });
  });
});

/**
 * Three processes append at random, while the clock jumps ahead and back, connections are killed, and the maintenance
 * runs. Afterwards the log shows the order in which the appends took turns: each result must be right in that order.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { newId } from '@caudal/kernel/ids.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { dropExpiredClaims } from './expired-claims.ts';
import { makePartitions } from './maintenance.ts';
import { freshLog, setClockAhead } from './testing/log.ts';
import type { Report } from './testing/random-writer.ts';
import { expectWhole } from './testing/whole-log.ts';
import type { RecordedEvent } from './types.ts';

const dayMs = 86_400_000;
const claimDays = 7;
/** How far the clock moves: over a month's end at times, and over the end of claims, but not of commands. */
const mostDays = 28;

describeWith(['postgres'], 'appends at random', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  beforeAll(async () => {
    fresh = await freshLog();
  });
  afterAll(() => fresh.drop());

  async function runWriter(name: string, claimIds: string[]): Promise<Report[]> {
    const child = fork(new URL('./testing/random-writer.ts', import.meta.url), [
      fresh.url,
      name,
      JSON.stringify(claimIds),
      '60',
    ]);
    const exited = once(child, 'exit');
    const [reports] = await Promise.race([
      once(child, 'message') as Promise<[Report[]]>,
      exited.then(([code]) => {
        throw new Error(`The writer ${name} has ended with ${code}`);
      }),
    ]);
    await exited;
    return reports;
  }

  /** Kills connections, moves the clock and maintains the log, until `finished`. */
  async function disturb(finished: AbortSignal): Promise<void> {
    const { database } = fresh.open({ poolSize: 1, lockTimeoutMs: 500 });
    let days = 0;
    for (let turn = 0; !finished.aborted; turn++) {
      await delay(40 + Math.random() * 60);
      await database.query({
        text: `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE application_name = 'random-writer' AND datname = current_database() ORDER BY random() LIMIT 1`,
      });
      days = Math.min(mostDays, days + (turn % 4 === 3 ? -2 : Math.floor(Math.random() * 3)));
      await setClockAhead(database, `${days} days`);
      if (turn % 3 === 0) {
        await makePartitions(database, 0);
        await dropExpiredClaims(database);
      }
    }
  }

  test('each has the result that is right in the order of their turns', async () => {
    const claimIds = Array.from({ length: 12 }, (_, n) => (n % 2 === 0 ? newId() : `R-${n}`));
    const finished = new AbortController();
    const disturbing = disturb(finished.signal);
    const reports = (
      await Promise.all(['a', 'b', 'c'].map((name) => runWriter(name, claimIds))).finally(() => finished.abort())
    ).flat();
    await disturbing;
    const events = await expectWhole(fresh.log, fresh.database);

    const kinds = Map.groupBy(reports, ({ result }) => result.kind);
    for (const kind of ['appended', 'conflict', 'claimed', 'duplicate'] as const)
      expect([kind, (kinds.get(kind)?.length ?? 0) > 20]).toEqual([kind, true]);
    expect(checkUnits(reports, events)).toEqual([]);
    expect(checkClaims(reports, events)).toEqual([]);
    expect(checkCommands(reports, events)).toEqual([]);
  }, 180_000);
});

const contentOf = (event: RecordedEvent) => Buffer.from(event.data).toString();
const landedIn = (report: Report, byContent: Map<string, RecordedEvent>) =>
  report.parts.flatMap(({ contents }) => contents).flatMap((content) => byContent.get(content) ?? []);

/** Units are whole, lie where they were expected, and what was refused is not there. */
function checkUnits(reports: Report[], events: RecordedEvent[]): string[] {
  const problems: string[] = [];
  const byContent = new Map(events.map((event) => [contentOf(event), event]));
  const byPosition = new Map(events.map((event) => [event.position, event]));
  const known = new Set<string>();
  // An append with a command is made again now and then: a later one may land.
  const mayHaveLanded = new Set(
    reports
      .filter(({ result }) => result.kind === 'appended' || result.kind === 'unknown')
      .flatMap(({ parts }) => parts.flatMap(({ contents }) => contents)),
  );
  if (byContent.size !== events.length) problems.push('an event is there twice');
  for (const report of reports) {
    const { parts, result } = report;
    const contents = parts.flatMap((part) => part.contents);
    const what = `${contents[0] ?? parts[0]!.stream} (${result.kind})`;
    for (const content of contents) known.add(content);
    const landed = landedIn(report, byContent);
    if (landed.length > 0 && landed.length !== contents.length) problems.push(`${what}: landed in part`);
    if (landed.some(({ position }, n) => position !== landed[0]!.position + n)) problems.push(`${what}: is spread`);
    if (result.kind === 'appended' && landed.length !== contents.length) problems.push(`${what}: is lost`);
    const isRefused = result.kind === 'conflict' || result.kind === 'claimed';
    if (isRefused && landed.length > 0 && !mayHaveLanded.has(contents[0]!)) problems.push(`${what}: landed`);
    if (landed.length > 0) {
      for (const { expected, contents: own } of parts) {
        const first = own[0] === undefined ? undefined : byContent.get(own[0]);
        const before = first && first.version - 1;
        if (before !== undefined && typeof expected === 'number' && before !== expected)
          problems.push(`${what}: version`);
        if (before === 0 && expected === 'must-exist') problems.push(`${what}: must exist`);
      }
    }
    if (result.kind !== 'conflict') continue;
    for (const [n, { version, missing }] of result.parts.entries()) {
      const { stream, expected } = parts[n]!;
      const right = missing.every((position, place) => {
        const event = byPosition.get(position);
        return event?.stream === stream && event.version === (expected as number) + place + 1;
      });
      if (!right || (missing.length > 0 && version < (expected as number) + missing.length))
        problems.push(`${what}: missing`);
    }
  }
  for (const event of events) if (!known.has(contentOf(event))) problems.push(`${contentOf(event)}: from nowhere`);
  return problems;
}

/** Claims were as expected when their appends landed, by the log's time. */
function checkClaims(reports: Report[], events: RecordedEvent[]): string[] {
  const problems: string[] = [];
  const byContent = new Map(events.map((event) => [contentOf(event), event]));
  const outcomes = new Set(reports.flatMap(({ claims }) => claims.flatMap(({ outcome }) => outcome ?? [])));
  /** Of each id: when its claim ends, and the generations that it may have: an old one may have been dropped. */
  const kept = new Map<string, { ends: number; generations: number[] }>();
  const landed = reports
    .map((report) => ({ report, first: landedIn(report, byContent)[0] }))
    .filter(({ report, first }) => first && report.claims.length > 0)
    .sort((a, b) => a.first!.position - b.first!.position);
  const seen = new Set<number>();
  for (const { report, first } of landed) {
    // A repeat of a command is a report of its own.
    if (seen.has(first!.position)) continue;
    seen.add(first!.position);
    const now = first!.recordedAt.getTime();
    for (const { id, expected = 'absent', outcome } of report.claims) {
      const before = kept.get(id);
      const isLive = before !== undefined && before.ends > now;
      const what = `${contentOf(first!)}: claim ${id}, expected ${expected}`;
      if (isLive && expected === 'absent') problems.push(`${what}, was there`);
      if (isLive && typeof expected === 'number' && !before.generations.includes(expected))
        problems.push(`${what}, was ${before.generations.join()}`);
      if (outcome === undefined) continue;
      const generations = before ? before.generations.map((generation) => generation + 1) : [0];
      const ends = Math.max(now + claimDays * dayMs, before?.ends ?? 0);
      kept.set(id, { ends, generations: isLive ? generations : [...generations, 0] });
    }
  }
  for (const { result } of reports)
    if (result.kind === 'claimed')
      for (const { outcome } of result.claims) if (!outcomes.has(outcome)) problems.push(`${outcome}: from nowhere`);
  return problems;
}

/** A command lands once, with all the appends that carry it. */
function checkCommands(reports: Report[], events: RecordedEvent[]): string[] {
  const byContent = new Map(events.map((event) => [contentOf(event), event]));
  const landed = reports.filter((report) => report.command !== undefined && landedIn(report, byContent).length > 0);
  return [...Map.groupBy(landed, ({ command }) => command!)].flatMap(([key, all]) => {
    const appends = new Set(all.map(({ parts }) => parts.flatMap(({ contents }) => contents).join()));
    return appends.size === 1 ? [] : [key];
  });
}

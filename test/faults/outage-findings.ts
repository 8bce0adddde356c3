/**
 * How an outage was for its callers: which answers were wrong, how soon calls were refused, when everything worked
 * again.
 */
import type { ServerName } from '@caudal/testing/servers.ts';
import type { Noted } from './outage-load.ts';

/** By performance.now(). */
export interface Times {
  /** When the server began to stop, and when it had stopped. */
  stopping: number;
  away: number;
  /** When it was started, and when it answered. */
  starting: number;
  back: number;
  /** When an order that was placed after that was ready to ship, in its view. */
  flowing: number;
}

export interface Row {
  server: ServerName;
  how: string;
  calls: number;
  refused: number;
  /** The duration of refused calls, in milliseconds. */
  p50: number;
  p99: number;
  max: number;
  /** From the server's return to the end of the last refused call. */
  answersAfterS: number;
  flowsAfterS: number;
  /** The duration of the slowest call, refused or not. */
  slowestMs: number;
}

export interface Findings {
  row: Row;
  /** Answers that are wrong during this outage. */
  wrong: string[];
  /**
   * By kind of call that needs the server: how many were answered although it was unreachable, how many were refused.
   */
  needing: Record<string, { answered: number; refused: number; p50: number }>;
  /** By kind of call that a cache answers while its store is unreachable: the ages in the answers, in order. */
  ages: Record<string, (number | undefined)[]>;
}

/** The value below which a share of the values lies; 0 if there are none. */
export function quantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0);
}

const msOf = ({ began, ended }: Noted) => ended - began;

/** Checks all calls of an outage. */
export function findingsOf(
  noted: Noted[],
  times: Times,
  { server, how }: { server: ServerName; how: string },
): Findings {
  const refused = noted.filter(isRefusal);
  const whileAway = noted.filter(({ began, ended }) => began >= times.away && ended <= times.starting);
  const byKind = Map.groupBy(whileAway, ({ kind }) => kind);
  const needing: Findings['needing'] = {};
  const ages: Findings['ages'] = {};
  for (const [kind, ofKind] of byKind) {
    const no = ofKind.filter(isRefusal);
    if (kind.needs === server)
      needing[kind.name] = {
        answered: ofKind.length - no.length,
        refused: no.length,
        p50: quantile(no.map(msOf), 0.5),
      };
    if (kind.cacheOf === server) ages[kind.name] = ofKind.toSorted((a, b) => a.began - b.began).map(({ age }) => age);
  }
  const ms = refused.map(msOf);
  return {
    row: {
      server,
      how,
      calls: noted.length,
      refused: refused.length,
      p50: quantile(ms, 0.5),
      p99: quantile(ms, 0.99),
      max: quantile(ms, 1),
      answersAfterS: seconds(Math.max(0, ...refused.map(({ ended }) => ended - times.back))),
      flowsAfterS: seconds(times.flowing - times.back),
      slowestMs: quantile(noted.map(msOf), 1),
    },
    wrong: noted.flatMap((call) => fault(call, server, times) ?? []),
    needing,
    ages,
  };
}

const isRefusal = ({ code, kind }: Noted) => code !== kind.expected;
const seconds = (ms: number) => Math.round(ms / 100) / 10;

/**
 * What is wrong with an answer. Right are the expected one, and a well-formed refusal of a call that needs the server.
 */
function fault(call: Noted, server: ServerName, times: Times): string | undefined {
  const { kind, via, code, reason, retryAfterMs, malformed, began, ended, body } = call;
  if (code === kind.expected) return undefined;
  const at = `${seconds(began - times.away)} s after the stop, ${Math.round(ended - began)} ms`;
  const was = `${kind.name} over ${via}, ${at}: ${code} ${reason} ${JSON.stringify(malformed ?? body?.detail ?? body?.message)}`;
  if (kind.needs !== server) return `not affected by the outage, but: ${was}`;
  if (malformed) return was;
  if (code !== 'UNAVAILABLE' || reason !== 'DEPENDENCY_UNAVAILABLE') return was;
  return retryAfterMs === undefined ? `without Retry-After or RetryInfo: ${was}` : undefined;
}

/** The outages as a table. */
export function table(rows: Row[]): string {
  const columns: [title: string, of: (row: Row) => string][] = [
    ['server', ({ server }) => server],
    ['by', ({ how }) => how],
    ['calls', ({ calls }) => String(calls)],
    ['refused', ({ refused }) => String(refused)],
    ['p50 ms', ({ refused, p50 }) => (refused ? String(p50) : '-')],
    ['p99 ms', ({ refused, p99 }) => (refused ? String(p99) : '-')],
    ['max ms', ({ refused, max }) => (refused ? String(max) : '-')],
    ['all answered after s', ({ refused, answersAfterS }) => (refused ? answersAfterS.toFixed(1) : '-')],
    ['orders flow after s', ({ flowsAfterS }) => flowsAfterS.toFixed(1)],
    ['slowest call ms', ({ slowestMs }) => String(slowestMs)],
  ];
  const lines = [columns.map(([title]) => title), ...rows.map((row) => columns.map(([, of]) => of(row)))];
  const widths = columns.map((_, place) => Math.max(...lines.map((line) => line[place]!.length)));
  return lines.map((line) => line.map((cell, place) => cell.padEnd(widths[place]!)).join('  ')).join('\n');
}

/** Shows figures on the terminal, and as docs/benchmarks.md. */
import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { Client } from 'pg';
import { isMet, number } from './figures.ts';
import type { Bench, Figure, Goal } from './types.ts';

const goalText = ({ kind, value }: Goal) => `${kind === 'atLeast' ? '≥' : '≤'} ${number(value)}`;
const withUnit = (value: number, unit: string) => (unit === 'x' ? `${number(value)}×` : `${number(value)} ${unit}`);

/** One row per figure: name, median, spread, goal, result. */
function rows(figures: Figure[]): string[][] {
  return figures.map((figure) => {
    const { metric, value, unit, spread, goal } = figure;
    return [
      metric,
      withUnit(value, unit),
      spread ? `${number(spread[0])} – ${number(spread[1])}` : '',
      goal ? goalText(goal) : '',
      goal ? (isMet(figure) ? 'met' : '**missed**') : '',
    ];
  });
}

/** For a terminal. */
export function table(figures: Figure[]): string {
  const cells = rows(figures).map((row) => row.map((cell) => cell.replaceAll('*', '')));
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  return cells
    .map(
      (row) =>
        `  ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  ')}`,
    )
    .join('\n');
}

/** The figures of one run of a benchmark, and the facts about its machine. */
export interface Run {
  about: string[];
  figures: Figure[];
}

/** The machine and the software of the measurement: one fact per line. */
export async function machine(): Promise<string[]> {
  const facts = [
    `${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB; clients, services and servers share them`,
    `Node ${process.version}, ${process.platform}`,
  ];
  if (process.env.POSTGRES_URL) {
    const client = new Client({ connectionString: process.env.POSTGRES_URL });
    await client.connect();
    const { rows } = await client.query<{ version: string; fsync: string }>(
      "SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync",
    );
    await client.end();
    facts.push(`PostgreSQL ${rows[0]!.version}, fsync ${rows[0]!.fsync}`);
    if (rows[0]!.fsync !== 'on')
      throw new Error('The PostgreSQL server runs with fsync off: its figures mean nothing.');
  }
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  facts.push(`${new Date().toISOString().slice(0, 10)}, commit ${commit}`);
  return facts;
}

/**
 * The page with the section of one benchmark replaced, or added at its place among `benches`. Facts about the machine
 * that the page's head does not have stand in the section.
 */
export function withSection(page: string, benches: Bench[], bench: Bench, { about, figures }: Run): string {
  const [head = '', ...sections] = page.split(/^(?=## )/m);
  const byTitle = new Map(sections.map((section) => [/^## (.*)$/m.exec(section)![1]!, section]));
  const facts = about.filter((fact) => !head.includes(`- ${fact}\n`));
  byTitle.set(
    bench.title,
    [
      `## ${bench.title}`,
      '',
      bench.compares,
      '',
      ...facts.map((fact) => `Measured separately: ${fact}.\n`),
      '| | median | rounds from – to | goal | |',
      '|---|---|---|---|---|',
      ...rows(figures).map((row) => `| ${row.join(' | ')} |`),
      '',
    ].join('\n'),
  );
  const ordered = benches.flatMap(({ title }) => byTitle.get(title)?.trimEnd() ?? []);
  return `${[head.trimEnd(), ...ordered].join('\n\n')}\n`;
}

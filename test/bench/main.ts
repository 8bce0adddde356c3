/**
 * `npm run bench [-- NAME...]`: measures Caudal and its peers side by side, on real servers that sync to disk. Servers
 * whose URLs are set are used; test/servers lends the others. Each benchmark writes its section of
 * docs/benchmarks.md.
 */
import { fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { missingServers } from '@caudal/testing/servers.ts';
import { borrow } from '../../scripts/kit.ts';
import { benches } from './benches.ts';
import { isMet } from './figures.ts';
import { machine, type Run, table, withSection } from './report.ts';
import type { Bench, Figure } from './types.ts';

const usage = `Usage: npm run bench [-- NAME...] [--json] [--quick | --long]

  NAME      run only these: ${benches.map(({ name }) => name).join(', ')}
  --json    print only a line of JSON for each figure on standard output
  --quick   short rounds, to check that it runs; no figure is written to docs/benchmarks.md
  --long    the longer form of hot-state, of some ten minutes
  --strict  exit code 1 if a goal is missed
  --help    this

Stop other programs first. All benchmarks take some two hours and a quarter, memory alone takes half an hour.`;

const out = (text: string) => process.stdout.write(`${text}\n`);

class UsageError extends Error {}

const options = {
  json: { type: 'boolean', default: false },
  quick: { type: 'boolean', default: false },
  long: { type: 'boolean', default: false },
  strict: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

function readArguments() {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options });
    const unknown = positionals.find((name) => benches.every((bench) => bench.name !== name));
    if (unknown) throw new Error(`There is no benchmark "${unknown}".`);
    if (values.quick && values.long) throw new Error('Give --quick or --long, not both.');
    const chosen = positionals.length ? benches.filter(({ name }) => positionals.includes(name)) : benches;
    return { ...values, chosen };
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${usage}`);
  }
}

/** Shows the progress: on a terminal in one line that is overwritten, else in many lines. */
function say(text: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
}

/** Runs the benchmark in a process of its own. */
function run(bench: Bench, mode: 'quick' | 'full' | 'long'): Promise<Figure[]> {
  const child = fork(fileURLToPath(new URL('./run-one.ts', import.meta.url)), [bench.name, mode], {
    // Logging would be part of the measurement.
    env: { ...process.env, LOG_LEVEL: process.env.LOG_LEVEL ?? 'error' },
  });
  return new Promise((resolve, reject) => {
    let figures: Figure[] | undefined;
    child.on('message', (message: { say: string } | { figures: Figure[] }) => {
      if ('say' in message) say(`${bench.name}: ${message.say}`);
      else figures = message.figures;
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (figures && code === 0) resolve(figures);
      else reject(new Error(`The benchmark ${bench.name} failed (${signal ?? `exit code ${code}`}).`));
    });
    // It ends after its round, and with that what it has started; a second signal does not wait for that.
    let signals = 0;
    const forward = (signal: NodeJS.Signals) => child.kill(++signals > 1 ? 'SIGKILL' : signal);
    process.on('SIGINT', forward).on('SIGTERM', forward);
    child.on('exit', () => process.off('SIGINT', forward).off('SIGTERM', forward));
  });
}

const page = 'docs/benchmarks.md';

/** Writes the figures of a benchmark into the page. */
function keep(bench: Bench, run: Run): void {
  writeFileSync(page, withSection(readFileSync(page, 'utf8'), benches, bench, run));
}

async function main(): Promise<number> {
  const { help, json, quick, long, strict, chosen } = readArguments();
  if (help) {
    out(usage);
    return 0;
  }
  const lacking = missingServers([...new Set(chosen.flatMap(({ needs }) => needs))]);
  const kit = lacking.length
    ? await borrow(lacking, { ...process.env, SERVERS_POSTGRES_FSYNC: 'on' })
    : { variables: {}, giveBack: async () => {} };
  Object.assign(process.env, kit.variables);
  const results: { bench: Bench; figures: Figure[] }[] = [];
  try {
    const still = missingServers(lacking);
    if (still.length) throw new Error(`Not available: ${still.join(', ')}. See test/servers/README.md.`);
    const about = await machine();
    for (const bench of chosen) {
      const figures = await run(bench, quick ? 'quick' : long ? 'long' : 'full');
      results.push({ bench, figures });
      if (process.stderr.isTTY) say('');
      if (json) for (const figure of figures) out(JSON.stringify(figure));
      else out(`\n${bench.title}\n${table(figures)}`);
      if (!quick) keep(bench, { about, figures });
    }
  } finally {
    await kit.giveBack();
  }
  const missed = results.flatMap(({ figures }) => figures).filter((figure) => isMet(figure) === false);
  if (!json && missed.length)
    out(`\nGoals missed: ${missed.map(({ bench, metric }) => `${bench} ${metric}`).join(', ')}`);
  return strict && missed.length ? 1 : 0;
}

process.chdir(fileURLToPath(new URL('../..', import.meta.url)));
process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`\n${error instanceof Error ? error.message : error}\n`);
  return error instanceof UsageError ? 2 : 1;
});

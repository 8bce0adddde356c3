/**
 * `npm run bench [-- NAME...]`: measures Caudal against its peers, side by side, on real servers that sync to disk.
 *
 * Servers whose URLs are set are used as they are; the others are lent by test/servers for as long as it lasts. Each
 * benchmark leaves its figures in .caudal/bench; docs/benchmarks.md is written from the latest of each.
 */
import { fork } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { missingServers } from '@caudal/testing/servers.ts';
import { borrow } from '../../scripts/kit.ts';
import { benches } from './benches.ts';
import { isMet } from './figures.ts';
import { machine, page, type Run, table } from './report.ts';
import type { Bench, Figure } from './types.ts';

const usage = `Usage: npm run bench [-- NAME...] [--json] [--quick]

  NAME      only these: ${benches.map(({ name }) => name).join(', ')}
  --json    a line of JSON for each figure on standard output, and nothing else
  --quick   short rounds, to see that it runs; nothing is kept or written to docs/benchmarks.md
  --strict  exit code 1 if a goal is missed
  --help    this

Close what else uses the machine. Without a NAME it takes an hour and a half; memory alone half an hour.`;

const out = (text: string) => process.stdout.write(`${text}\n`);

class UsageError extends Error {}

const options = {
  json: { type: 'boolean', default: false },
  quick: { type: 'boolean', default: false },
  strict: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

function readArguments() {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options });
    const unknown = positionals.find((name) => benches.every((bench) => bench.name !== name));
    if (unknown) throw new Error(`There is no benchmark "${unknown}".`);
    const chosen = positionals.length ? benches.filter(({ name }) => positionals.includes(name)) : benches;
    return { ...values, chosen };
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${usage}`);
  }
}

/** What is under way: a line that is written over on a terminal, lines elsewhere. */
function say(text: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
}

/** Runs it in a process of its own. */
function run(bench: Bench, quick: boolean): Promise<Figure[]> {
  const child = fork(fileURLToPath(new URL('./run-one.ts', import.meta.url)), [bench.name, quick ? 'quick' : 'full'], {
    // What the code logs would be part of what is measured.
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
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => child.kill(name));
  });
}

const folder = '.caudal/bench';

/** Keeps what a benchmark has found, and writes the page anew once there is something of each. */
function keep(bench: Bench, run: Run): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/${bench.name}.json`, JSON.stringify(run));
  const files = benches.map(({ name }) => `${folder}/${name}.json`);
  if (!files.every((file) => existsSync(file))) return;
  const runs = files.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Run);
  writeFileSync('docs/benchmarks.md', page(benches.map((each, place) => ({ bench: each, ...runs[place]! }))));
}

async function main(): Promise<number> {
  const { help, json, quick, strict, chosen } = readArguments();
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
    if (still.length) throw new Error(`Not to be had: ${still.join(', ')}. test/servers/README.md tells more.`);
    const about = await machine();
    for (const bench of chosen) {
      const figures = await run(bench, quick);
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

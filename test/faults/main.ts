/**
 * `npm run test:faults [-- NAME...]`: breaks Caudal and its servers while they work, and checks that nothing was lost,
 * doubled or left half done. The servers are a kit of its own, lent by test/servers, because they are killed too.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../e2e/part.ts';

const suffix = '.fault.ts';
const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(suffix))
  .map((file) => file.slice(0, -suffix.length));

/** Four to six minutes each. */
const long = ['outages', 'overload', 'queue-majority'];

const usage = `Usage: npm run test:faults [-- NAME...] [--short] [--again] [--seed N] [--minutes N] [--faults N]

  NAME         run only these: ${names.join(', ')}
  --short      all but the long ones: ${long.join(', ')}
  --again      a few that fail run once more, and are named if they pass then; never after the random run has failed
  --seed N     the seed of the random run: commands and faults follow from it. Today's date if absent
  --minutes N  for how long the random run has faults: 10 if absent
  --faults N   the long form, until there were N faults in all: each call runs the next seed, for --minutes (60
               if absent); the progress is in .caudal/faults/progress.json
  --help       this

Exit code 0: everything held. 1: something did not hold. 2: wrong arguments.`;

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seed: { type: 'string' },
      minutes: { type: 'string' },
      faults: { type: 'string' },
      short: { type: 'boolean', default: false },
      again: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const unknown = positionals.find((name) => !names.includes(name));
  if (unknown) throw new Error(`There is no fault "${unknown}".`);
  for (const name of ['seed', 'minutes', 'faults'] as const) {
    const value = values[name];
    if (value !== undefined && !/^[1-9]\d{0,8}$/.test(value))
      throw new Error(`--${name} takes a whole number from 1 on, not "${value}".`);
  }
  if (values.short && positionals.length > 0) throw new Error('--short goes without names.');
  return { ...values, positionals };
}

let given: ReturnType<typeof readArguments>;
try {
  given = readArguments();
} catch (error) {
  console.error(`${(error as Error).message}\n\n${usage}`);
  process.exit(2);
}
if (given.help) {
  console.log(usage);
  process.exit(0);
}

const env = { ...process.env };
// Without SERVERS_HOME, servers whose URLs are set must not be broken: the variables are removed.
if (!env.SERVERS_HOME) for (const name of Object.keys(env)) if (/^[A-Z]+_URL$/.test(name)) delete env[name];
if (given.seed) env.FAULTS_SEED = given.seed;
if (given.minutes) env.FAULTS_MINUTES = given.minutes;
if (given.faults) env.FAULTS_TOTAL = given.faults;
const chosen = given.short ? names.filter((name) => !long.includes(name)) : given.positionals;
const patterns = chosen.map((name) => `/test/faults/${name}\\.fault\\.ts$`);
const tests = spawn(
  process.execPath,
  [
    join(root, 'scripts/test.js'),
    ...(given.again ? ['--repeat-few'] : []),
    '--config',
    'test/faults/jest.config.js',
    ...patterns,
  ],
  { stdio: 'inherit', env },
);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => tests.kill(signal));
tests.on('close', (code) => process.exit(code ?? 1));

/** The command `carrier-simulator`; `--help` says what it does. */
import { parseArgs } from 'node:util';
import { writeFile } from './file.ts';
import { type Scenario, scenarios, type World } from './parcels.ts';
import { push } from './push.ts';
import { type Report, tallyOf } from './report.ts';
import { sequenceOf } from './sequence.ts';
import { serve } from './serve.ts';

const help = `Simulated carriers (acme, dhl, ups) and their parcels.

  node apps/carrier-simulator/src/main.ts --to URL      sends events to the webhooks <URL>/<carrier>/webhook
  node apps/carrier-simulator/src/main.ts --file FILE   writes them to FILE, lines of JSON, or CSV if it ends in .csv
  node apps/carrier-simulator/src/main.ts --port PORT   answers polls until it is stopped (0: any free port)

  --seed N           the same seed gives the same parcels (1)
  --parcels N        how many (1000)
  --scenario NAME    one of ${scenarios.join(', ')}; a mix if absent
  --start TIME       when the first parcels are announced (2026-03-02T00:00:00Z)
  --duplicates P     the share of events that are sent twice, from 0 to 1 (0)
  --disorder N       how many events a sent one may overtake (0)
  --per-second N     calls a second; a storm if absent
  --concurrency N    calls at the same time (8)
  --json             prints the report as JSON
  --help             prints this

The secret of the webhooks, and the credential that polls must show, is in CARRIER_SIMULATOR_SECRET.
The report says what was sent, for comparison with what was received.
`;

const options = {
  to: { type: 'string' },
  file: { type: 'string' },
  port: { type: 'string' },
  seed: { type: 'string', default: '1' },
  parcels: { type: 'string', default: '1000' },
  scenario: { type: 'string' },
  start: { type: 'string', default: '2026-03-02T00:00:00Z' },
  duplicates: { type: 'string', default: '0' },
  disorder: { type: 'string', default: '0' },
  'per-second': { type: 'string' },
  concurrency: { type: 'string', default: '8' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** An option that is wrong: its text is for the user. */
class UsageError extends Error {}

async function main(): Promise<void> {
  const { values } = parseArgs({ options });
  if (values.help) return void process.stdout.write(help);
  const ways = [values.to, values.file, values.port].filter((way) => way !== undefined);
  if (ways.length !== 1) throw new UsageError('Give one of --to, --file and --port; --help says more.');
  const world: World = {
    seed: numberIn('--seed', values.seed, 0, 2 ** 31 - 1),
    startAt: timeIn(values.start),
    ...(values.scenario !== undefined && { scenario: scenarioIn(values.scenario) }),
  };
  const parcels = numberIn('--parcels', values.parcels, 1, 100_000_000);
  const ended = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ended.abort());
  const tally = tallyOf(world, parcels);
  const events = sequenceOf(world, parcels, {
    duplicates: numberIn('--duplicates', values.duplicates, 0, 1, false),
    disorder: numberIn('--disorder', values.disorder, 0, 1_000_000),
  });
  if (values.port !== undefined) {
    const port = numberIn('--port', values.port, 0, 65_535);
    const served = await serve({ world, parcels, credential: secret(), clock: Date.now, port });
    process.stdout.write(
      values.json ? `${JSON.stringify({ url: served.url })}\n` : `Carriers answer at ${served.url}\n`,
    );
    await new Promise((resolve) => ended.signal.addEventListener('abort', resolve, { once: true }));
    return served.stop();
  }
  if (values.file !== undefined) await writeFile(values.file, events, tally);
  if (values.to !== undefined) {
    const perSecond = values['per-second'];
    await push({
      events,
      tally,
      to: values.to.replace(/\/+$/, ''),
      secret: secret(),
      concurrency: numberIn('--concurrency', values.concurrency, 1, 1_000),
      ...(perSecond !== undefined && { perSecond: numberIn('--per-second', perSecond, 1, 1_000_000) }),
      signal: ended.signal,
    });
  }
  const report = tally.report();
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : textOf(report));
  if (report.failed > 0) process.exitCode = 1;
}

function numberIn(option: string, text: string, min: number, max: number, whole = true): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!(value >= min && value <= max) || (whole && !Number.isInteger(value)))
    throw new UsageError(`${option} is "${text}": give a ${whole ? 'whole ' : ''}number from ${min} to ${max}.`);
  return value;
}

function timeIn(text: string): number {
  const at = Date.parse(text);
  if (Number.isNaN(at)) throw new UsageError(`--start is "${text}": give a time, as 2026-03-02T00:00:00Z.`);
  return at;
}

function scenarioIn(text: string): Scenario {
  const found = scenarios.find((each) => each === text);
  if (!found) throw new UsageError(`--scenario is "${text}": give one of ${scenarios.join(', ')}.`);
  return found;
}

function secret(): string {
  const value = process.env.CARRIER_SIMULATOR_SECRET;
  if (!value)
    throw new UsageError('CARRIER_SIMULATOR_SECRET is not set: set it to the secret that the receiver has, too.');
  return value;
}

function textOf(report: Report): string {
  const { byCarrier, outcomes, ...rest } = report;
  const rows = Object.entries({ ...rest, ...byCarrier, ...outcomes });
  return rows.map(([name, value]) => `${name.padEnd(12)} ${value}\n`).join('');
}

main().catch((error: Error & { code?: string }) => {
  const usage = error instanceof UsageError || error.code?.startsWith('ERR_PARSE_ARGS');
  process.stderr.write(`${usage ? error.message : error.stack}\n`);
  process.exitCode = usage ? 2 : 1;
});

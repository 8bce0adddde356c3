/**
 * `npm test [-- [--repeat-few] ARGUMENTS OF JEST]`: starts the real servers that this machine can run, runs the tests against them,
 * and reports which servers those were. The last line is `N passed, N failed[, N skipped]`. It fails if a test failed,
 * or if none ran.
 *
 * If a few files of a whole run fail (of any run with --repeat-few), they run once more with the machine to themselves:
 * two workers, six servers and the processes that tests start share two cores, and a test with real time in it may get
 * next to nothing of them. What passes only then is named below the results.
 *
 * A server whose URL is in the environment is used as it is. The others are containers if a Docker engine answers, else
 * a native kit lent by test/servers. If a server can't be started, the tests that need it are skipped; with
 * CAUDAL_REQUIRE_SERVERS=all that counts as a failure.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startContainers } from './containers.js';
import { borrow } from './kit.ts';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

/** The variable that holds a server's URL. */
const urls = {
  postgres: 'POSTGRES_URL',
  rabbitmq: 'RABBITMQ_URL',
  mongodb: 'MONGODB_URL',
  elasticsearch: 'ELASTICSEARCH_URL',
  redis: 'REDIS_URL',
  s3: 'S3_URL',
};

/**
 * How each server is provided (given, docker, native, none), the variables for the tests, and a function that stops the
 * servers started here.
 */
async function getServers() {
  const how = {};
  const variables = {};
  const lacking = () => Object.keys(urls).filter((name) => !how[name]);
  for (const name of lacking()) if (process.env[urls[name]]) how[name] = 'given';

  const containers = lacking().length ? await startContainers(lacking()) : undefined;
  for (const [name, found] of Object.entries(containers?.variables ?? {})) {
    how[name] = 'docker';
    Object.assign(variables, found);
  }

  const kit = lacking().length && process.platform === 'linux' ? await borrow(lacking()) : undefined;
  for (const name of lacking()) if (kit?.variables[urls[name]]) how[name] = 'native';
  Object.assign(variables, kit?.variables);

  for (const name of lacking()) how[name] = 'none';
  const stop = async () => {
    await Promise.all([containers?.stop(), kit?.giveBack()]);
  };
  return { how, variables, stop };
}

/** The log of the code under test. */
const logs = '.caudal/test.log';

/** Runs jest. Returns its exit status and its results; no results if jest broke down. */
async function runJest(args, variables) {
  mkdirSync(dirname(logs), { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), 'caudal-test-'));
  const output = join(folder, 'results.json');
  const modules = '--experimental-vm-modules --disable-warning=ExperimentalWarning';
  const jest = spawn(process.execPath, ['node_modules/jest/bin/jest.js', '--json', '--outputFile', output, ...args], {
    stdio: ['inherit', 'inherit', 'pipe'],
    env: {
      ...(process.stderr.isTTY && { FORCE_COLOR: '1' }),
      ...process.env,
      ...variables,
      NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} ${modules}`.trim(),
    },
  });
  // Many tests break things on purpose. The JSON lines that the code logs about it go to a file, since they would bury
  // the report.
  const log = createWriteStream(logs);
  createInterface({ input: jest.stderr }).on('line', (line) => {
    (line.startsWith('{"level":') ? log : process.stderr).write(`${line}\n`);
  });
  // On a signal this process waits until jest has ended, and then gives the servers back.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => jest.kill(signal));
  const status = await new Promise((resolve) => jest.on('close', (code) => resolve(code ?? 1)));
  log.end();
  let results;
  try {
    results = JSON.parse(readFileSync(output, 'utf8'));
  } catch {
    console.error('jest wrote no results.');
  }
  rmSync(folder, { recursive: true, force: true });
  return { status, results };
}

/** More failed files than this are not a matter of time: they are not repeated. */
const mostRepeated = 5;
/** What chance has found: another run would look at other examples. Those of fast-check, and all that random faults do. */
const foundByChance = ({ name, message }) =>
  /Property failed after|Counterexample/.test(message) || name.endsWith('/random.fault.ts');

/** The files that failed, if they are few, and none of them is more than unlucky. */
function toRepeat({ results }) {
  const failed = results?.testResults.filter(({ status }) => status === 'failed') ?? [];
  return failed.length <= mostRepeated && !failed.some(foundByChance) ? failed.map(({ name }) => name) : [];
}

/** The results of both runs: of a file that was repeated, those of its second run. Names what failed in the first run alone. */
function together(first, second) {
  const again = new Map(second.results?.testResults.map((file) => [file.name, file]));
  const failedIn = (file) => file.assertionResults.filter(({ status }) => status === 'failed');
  const onceOnly = [];
  const testResults = first.results.testResults.map((file) => {
    const repeated = again.get(file.name);
    if (repeated?.status === 'passed')
      onceOnly.push(...failedIn(file).map(({ fullName }) => `${relative('.', file.name)}: ${fullName}`));
    return repeated ?? file;
  });
  return { status: second.status, results: { testResults }, onceOnly };
}

/** Counts the results. A file that could not be run is one failure, and so is any other reason for which jest fails. */
function count({ status, results, onceOnly = [] }) {
  const files = results?.testResults ?? [];
  const tests = files.flatMap(({ assertionResults }) => assertionResults);
  const of = (...wanted) => tests.filter((test) => wanted.includes(test.status)).length;
  const broken = files.filter(
    ({ status, assertionResults }) => status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  );
  const failed = of('failed') + broken.length;
  return {
    passed: of('passed'),
    failed: failed === 0 && status !== 0 ? 1 : failed,
    skipped: of('pending', 'todo', 'skipped', 'disabled'),
    onceOnly,
  };
}

const { how, variables, stop } = await getServers();
let counts;
try {
  const given = process.argv.slice(2);
  const args = given.filter((argument) => argument !== '--repeat-few');
  const first = await runJest(args, variables);
  const files = args.length === 0 || args.length < given.length ? toRepeat(first) : [];
  if (files.length > 0) {
    console.log(`\nOnce more, one after the other: ${files.map((file) => relative('.', file)).join(', ')}`);
    const config = args.includes('--config') ? args.slice(args.indexOf('--config'), args.indexOf('--config') + 2) : [];
    counts = count(together(first, await runJest([...config, '--runInBand', '--runTestsByPath', ...files], variables)));
  } else counts = count(first);
} finally {
  await stop();
}

console.log('\nServer         How     Where');
for (const name of Object.keys(urls)) {
  const url = variables[urls[name]] ?? process.env[urls[name]];
  console.log(`${name.padEnd(15)}${how[name].padEnd(8)}${url && URL.canParse(url) ? new URL(url).host : '-'}`);
}
const none = Object.keys(how).filter((name) => how[name] === 'none');
if (none.length) {
  const required = process.env.CAUDAL_REQUIRE_SERVERS === 'all';
  console.log(`Missing: ${none.join(', ')}${required ? '. Each counts as a failure' : '. Their tests were skipped'}.`);
  if (required) counts.failed += none.length;
}
console.log(`The log of the code under test is ${logs}.`);
for (const test of counts.onceOnly) console.log(`Failed beside other tests, and passed alone: ${test}`);
if (counts.passed + counts.failed === 0) console.log('No test ran.');
console.log(`\n${counts.passed} passed, ${counts.failed} failed${counts.skipped ? `, ${counts.skipped} skipped` : ''}`);
process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0);

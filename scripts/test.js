/**
 * `npm test [-- ARGUMENTS OF JEST]`: gets the real servers that it can, runs the tests against them, and tells which
 * servers those were. Its last line is `N passed, N failed[, N skipped]`; it fails if a test failed, or none ran.
 *
 * A server whose URL is in the environment is used as it is. The others are containers where a Docker engine answers,
 * else a native kit lent by test/servers; a server that can't be had is left out, and the tests that need it are
 * skipped. CAUDAL_REQUIRE_SERVERS=all makes that a failure.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startContainers } from './containers.js';
import { borrow } from './kit.ts';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

/** The variable that says where a server is. */
const urls = {
  postgres: 'POSTGRES_URL',
  rabbitmq: 'RABBITMQ_URL',
  mongodb: 'MONGODB_URL',
  elasticsearch: 'ELASTICSEARCH_URL',
  redis: 'REDIS_URL',
};

/** How each server is there (given, docker, native, none), the variables for the tests, and what ends those started here. */
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

/** What the code logged during the tests. */
const logs = '.caudal/test.log';

/** Runs jest; gives its exit status, and its results unless it broke down. */
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
  // Many tests break things on purpose: what the code logs about it, in JSON, would bury the report.
  const log = createWriteStream(logs);
  createInterface({ input: jest.stderr }).on('line', (line) => {
    (line.startsWith('{"level":') ? log : process.stderr).write(`${line}\n`);
  });
  // Stay until jest has ended, then give the servers back.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => jest.kill(signal));
  const status = await new Promise((resolve) => jest.on('close', (code) => resolve(code ?? 1)));
  log.end();
  let results;
  try {
    results = JSON.parse(readFileSync(output, 'utf8'));
  } catch {
    console.error('jest left no results.');
  }
  rmSync(folder, { recursive: true, force: true });
  return { status, results };
}

/** What the results come to. A file that could not be run is one failure, and so is anything else that jest fails for. */
function count({ status, results }) {
  const passed = results?.numPassedTests ?? 0;
  const failed = results ? results.numFailedTests + results.numRuntimeErrorTestSuites : 0;
  const skipped = results ? results.numPendingTests + results.numTodoTests : 0;
  return { passed, failed: failed === 0 && status !== 0 ? 1 : failed, skipped };
}

const { how, variables, stop } = await getServers();
let counts;
try {
  counts = count(await runJest(process.argv.slice(2), variables));
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
console.log(`What the code logged is in ${logs}.`);
if (counts.passed + counts.failed === 0) console.log('No test ran.');
console.log(`\n${counts.passed} passed, ${counts.failed} failed${counts.skipped ? `, ${counts.skipped} skipped` : ''}`);
process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0);

/**
 * Asks the registry of packages for known weaknesses of what is shipped, and checks its signatures (`npm run audit`). Without
 * an answer it says so and passes: a build must not depend on a network.
 */
import { execFileSync, spawnSync } from 'node:child_process';

const waitMs = 180_000;
const keysMs = 10_000;

/** What npm answers, as JSON; undefined if the registry does not. */
function ask(...args) {
  const { stdout } = spawnSync('npm', [...args, '--json'], { encoding: 'utf8', timeout: waitMs, maxBuffer: 2 ** 26 });
  try {
    return JSON.parse(stdout);
  } catch {
    return undefined;
  }
}

/** Whether the registry has the keys of signatures: without them, asking for each package would be for nothing. */
async function hasKeys() {
  const registry = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim();
  try {
    return (await fetch(new URL('-/npm/v1/keys', registry), { signal: AbortSignal.timeout(keysMs) })).ok;
  } catch {
    return false;
  }
}

function report(what, problems) {
  if (!problems) console.log(`${what}: not checked, because the registry does not answer`);
  else if (problems.length === 0) console.log(`${what}: nothing found`);
  else {
    console.error(`${what}:\n  ${problems.join('\n  ')}`);
    process.exitCode = 1;
  }
}

const weaknesses = ask('audit', '--omit=dev');
report(
  'known weaknesses',
  weaknesses?.vulnerabilities &&
    Object.values(weaknesses.vulnerabilities)
      .filter(({ severity }) => severity === 'high' || severity === 'critical')
      .map(({ name, severity }) => `${name}: ${severity}`),
);
const signatures = (await hasKeys()) ? ask('audit', 'signatures') : undefined;
report(
  'signatures of packages',
  signatures?.invalid &&
    [...signatures.invalid, ...(signatures.missing ?? [])].map(({ name, version }) => `${name}@${version}`),
);

/**
 * Schemathesis, from PyPI: installed once into a virtual environment beside the downloads of test/servers, in the
 * versions of requirements.txt, then run against a REST API.
 */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const wanted = fileURLToPath(new URL('requirements.txt', import.meta.url));
const hooks = fileURLToPath(new URL('hooks.py', import.meta.url));
const run = promisify(execFile);

/** Its Python, or why it is missing. */
export type Installed = { python: string } | { missing: string };

/** The cache folder of test/servers. */
function cacheFolder(): string {
  const { SERVERS_INSTALL, SERVERS_HOME, XDG_CACHE_HOME } = process.env;
  const home = SERVERS_HOME ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'caudal/servers');
  return SERVERS_INSTALL ?? join(home, 'install');
}

/** Installs it, if necessary. If the machine lacks something, the result says what to install. */
export async function installSchemathesis(): Promise<Installed> {
  const help = 'On Debian: apt-get install --no-install-recommends python3 python3-venv (3.11 or later)';
  let version: string;
  try {
    const script =
      'import venv, ensurepip, sys; assert sys.version_info >= (3, 11); print("%d.%d" % sys.version_info[:2])';
    version = (await run('python3', ['-c', script])).stdout.trim();
  } catch {
    return { missing: `no Python with venv. ${help}` };
  }
  const digest = createHash('sha256').update(readFileSync(wanted)).digest('hex').slice(0, 12);
  const folder = join(cacheFolder(), `schemathesis-${version}-${digest}`);
  const python = (at: string) => join(at, 'bin/python');
  // The Python that made the environment may have been removed.
  if (existsSync(python(folder))) return { python: python(folder) };

  mkdirSync(cacheFolder(), { recursive: true });
  // Made beside it and moved when complete, so that no other process uses half of it. It is always called by its
  // Python, so it can be moved.
  const made = mkdtempSync(`${folder}.`);
  try {
    await run('python3', ['-m', 'venv', made]);
    const pip = [
      '-m',
      'pip',
      'install',
      '-q',
      '--disable-pip-version-check',
      '--no-deps',
      '--require-hashes',
      '-r',
      wanted,
    ];
    await run(python(made), pip, { maxBuffer: 16 * 1024 * 1024 });
    if (!existsSync(python(folder))) rmSync(folder, { recursive: true, force: true });
    renameSync(made, folder);
  } catch (error) {
    rmSync(made, { recursive: true, force: true });
    // Another process was faster.
    if (existsSync(python(folder))) return { python: python(folder) };
    return {
      missing: `pip could not install it: ${(error as { stderr?: string }).stderr?.slice(-1_000) || error}. ${help}`,
    };
  }
  return { python: python(folder) };
}

export interface SchemathesisOptions {
  python: string;
  baseUrl: string;
  token: string;
  seed: number;
  /** Requests per operation in the phase that fuzzes; the other phases have numbers of their own. */
  perOperation: number;
  phases: string[];
  /** The file that hooks.py reads. */
  facts: string;
  /** A folder for its files. */
  folder: string;
  timeoutMs: number;
}

export interface Outcome {
  exitCode: number | null;
  /** Its output. */
  output: string;
  /** Answered requests, by phase. */
  requests: Map<string, number>;
  statuses: Map<number, number>;
  /** How often each check ran. */
  checks: Map<string, number>;
  failures: string[];
}

/** Runs it, and reads its report. */
export async function runSchemathesis(options: SchemathesisOptions): Promise<Outcome> {
  const { python, baseUrl, token, seed, perOperation, phases, facts, folder, timeoutMs } = options;
  const args = [
    ...['-m', 'schemathesis.cli', 'run', `${baseUrl}/openapi.json`, '--header', `Authorization: Bearer ${token}`],
    ...['--seed', String(seed), '--max-examples', String(perOperation), '--phases', phases.join(',')],
    ...['--checks', 'all', '--continue-on-failure', '--request-timeout', '15'],
    // The state of the system changes with each request, so a smaller example would fail for another reason.
    '--no-shrink',
    // More workers would disturb each other: the time is Python's.
    ...['--workers', '1', '--generation-database', 'none', '--report', 'ndjson', '--report-dir', folder, '--no-color'],
  ];
  const child = spawn(python, args, {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      SCHEMATHESIS_HOOKS: hooks,
      CAUDAL_FUZZ_FACTS: facts,
      HYPOTHESIS_STORAGE_DIRECTORY: folder,
      PYTHONDONTWRITEBYTECODE: '1',
      PYTHONUTF8: '1',
      NO_PROXY: '*',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-200_000);
    });
  }
  const exitCode = await new Promise<number | null>((resolve, reject) =>
    child.on('error', reject).on('close', resolve),
  );
  const [report] = globSync(join(folder, '*.ndjson'));
  if (!report) throw new Error(`Schemathesis left no report (exit code ${exitCode}).\n${output.slice(-5_000)}`);
  return { exitCode, output, ...(await readReport(report)) };
}

/** The part of a report's line that is used here. */
interface ReportLine {
  ScenarioFinished?: { phase: string; recorder: Recorder };
  NonFatalError?: { label: string; phase: string; value: { type: string; message: string } };
  FatalError?: unknown;
}

interface Recorder {
  label: string;
  checks?: Record<string, Check[]>;
  interactions?: Record<string, Interaction>;
}

interface Check {
  name: string;
  status: 'success' | 'failure';
  failure_info?: { failure: { title: string; message: string } };
}

interface Interaction {
  request: { method: string; uri: string; headers: Record<string, string[]>; body?: { $base64: string } };
  response?: { status_code: number; content?: { $base64: string } };
}

async function readReport(file: string): Promise<Omit<Outcome, 'exitCode' | 'output'>> {
  const found = {
    requests: new Map<string, number>(),
    statuses: new Map<number, number>(),
    checks: new Map<string, number>(),
    failures: [] as string[],
  };
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const { ScenarioFinished: scenario, NonFatalError: error, FatalError: end } = JSON.parse(line) as ReportLine;
    if (error) found.failures.push(`${error.label} (${error.phase}): ${error.value.type} ${error.value.message}`);
    if (end) found.failures.push(JSON.stringify(end).slice(0, 2_000));
    if (!scenario) continue;
    const { interactions = {}, checks = {}, label } = scenario.recorder;
    for (const { response } of Object.values(interactions)) {
      if (!response) continue;
      add(found.requests, scenario.phase);
      add(found.statuses, response.status_code);
    }
    for (const [id, made] of Object.entries(checks)) {
      for (const { name, status, failure_info } of made) {
        add(found.checks, name);
        if (status === 'success') continue;
        const { title, message } = failure_info?.failure ?? { title: name, message: '' };
        found.failures.push(`${label} (${scenario.phase}): ${title}: ${message}\n${shown(interactions[id])}`);
      }
    }
  }
  return found;
}

function add<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function shown(interaction: Interaction | undefined): string {
  if (!interaction) return '';
  const { request, response } = interaction;
  const text = (body: { $base64: string } | undefined) =>
    body ? Buffer.from(body.$base64, 'base64').toString().slice(0, 1_000) : '';
  const headers = JSON.stringify(request.headers).slice(0, 500);
  return `  ${request.method} ${request.uri.slice(0, 1_000)} ${headers} ${text(request.body)}\n  ${response?.status_code} ${text(response?.content)}`;
}

/**
 * A process's configuration. It is read from environment variables once, at the start, and checked as a whole, so that
 * one message lists all problems.
 */
import { readFileSync } from 'node:fs';
import { redactedSecret, redactUrl, withoutSecrets } from '@caudal/kernel/redact.ts';
import { closest, distance } from 'fastest-levenshtein';
import { type Setting, wordsOf } from './setting.ts';

/** Settings by their variables: `{ POSTGRES_URL: setting.url({ ... }) }`. */
export type Settings = Record<string, Setting<unknown>>;

/** The values of settings. */
export type Values<S extends Settings> = { [Name in keyof S]: S[Name] extends Setting<infer T> ? T : never };

export interface Problem {
  /** The variable. */
  name: string;
  /** What is wrong with it. */
  wrong: string;
  /** How to correct it. */
  fix: string;
}

/** A condition between settings. */
export interface Check<S extends Settings> {
  /** The settings that it reads. It runs only if each of them is right by itself. */
  of: (keyof S & string)[];
  /** What is wrong; undefined if nothing is. */
  problem(values: Values<S>): Problem | undefined;
}

/** One setting with its value in effect, without secrets. */
export interface Effective {
  name: string;
  /** As text; null if it has none. */
  value: string | null;
  source: 'env' | 'file' | 'default' | 'unset';
  /** The deprecated variable that it was read from. */
  readAs?: string;
  description: string;
}

export interface CheckedConfig<S extends Settings> {
  /** Undefined if there are problems. */
  values: Values<S> | undefined;
  effective: Effective[];
  problems: Problem[];
  /** Warnings of unknown variables that begin with a prefix, and of deprecated names in use. */
  warnings: string[];
}

export type Environment = Record<string, string | undefined>;

/** The configuration is wrong. The message lists all problems, one per line. */
export class ConfigError extends Error {
  readonly problems: Problem[];

  constructor(problems: Problem[]) {
    const lines = problems.map(({ name, wrong, fix }) => `  ${name}: ${wrong}. ${fix}`);
    super(`${problems.length} setting(s) need attention:\n${lines.join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** The version in which deprecated names are no longer read; docs/renames.md names it, too. */
const removedIn = '0.3';

const mayComeFromFile = ({ secrecy }: Setting<unknown>) => secrecy !== 'public';

interface Found {
  text: string | undefined;
  source: Effective['source'];
  problem?: Omit<Problem, 'name'>;
}

interface FoundSetting extends Found {
  /** The deprecated variable that the text was read from. */
  readAs?: string;
  warnings: string[];
}

/** The text of one variable. If empty, it counts as not set: charts and compose files can't easily leave one out. */
function findNamed(name: string, setting: Setting<unknown>, env: Environment): Found {
  const text = env[name] || undefined;
  const file = mayComeFromFile(setting) ? env[`${name}_FILE`] || undefined : undefined;
  if (text !== undefined && file !== undefined)
    return {
      text: undefined,
      source: 'unset',
      problem: { wrong: `${name}_FILE is set as well`, fix: `Unset one of the two` },
    };
  if (file !== undefined) {
    try {
      return { text: readFileSync(file, 'utf8').replace(/\r?\n$/, ''), source: 'file' };
    } catch (error) {
      const wrong = `the file of ${name}_FILE, ${file}, can't be read (${(error as NodeJS.ErrnoException).code})`;
      const fix = `Let ${name}_FILE name a file that this process may read, or set ${name}`;
      return { text: undefined, source: 'unset', problem: { wrong, fix } };
    }
  }
  return text === undefined ? { text: undefined, source: 'unset' } : { text, source: 'env' };
}

/** The text of a setting: under its name, else under its former one, else its default. */
function find(name: string, setting: Setting<unknown>, env: Environment): FoundSetting {
  const { formerly } = setting;
  const current = findNamed(name, setting, env);
  const former = formerly === undefined ? undefined : findNamed(formerly, setting, env);
  const formerIsSet = former !== undefined && (former.source !== 'unset' || former.problem !== undefined);
  if (formerly === undefined || !formerIsSet) return orDefault({ ...current, warnings: [] }, setting);
  if (current.problem) return { ...current, warnings: [] };
  const warning = `${formerly} is deprecated and will be removed in ${removedIn}: use ${name}.`;
  if (current.text === undefined) return { ...former, readAs: formerly, warnings: [warning] };
  if (current.text === former.text) return { ...current, warnings: [`${warning} Both are set: unset ${formerly}.`] };
  const wrong = `${formerly}, its deprecated name, is set as well, and to another value`;
  return {
    text: undefined,
    source: 'unset',
    problem: { wrong, fix: `Unset ${formerly} and set ${name}` },
    warnings: [],
  };
}

function orDefault(found: FoundSetting, setting: Setting<unknown>): FoundSetting {
  if (found.problem || found.text !== undefined || setting.default === undefined) return found;
  return { ...found, text: setting.default, source: 'default' };
}

/** Warnings of deprecated words in a value. */
function formerWordsIn(name: string, text: string, { formerWords }: Setting<unknown>): string[] {
  return wordsOf(text)
    .filter((word) => Object.hasOwn(formerWords, word))
    .map((word) => `${name}: "${word}" is deprecated and will be removed in ${removedIn}: use "${formerWords[word]}".`);
}

function shown(text: string, { secrecy }: Setting<unknown>): string {
  if (secrecy === 'secret') return redactedSecret;
  // A text that should have no URL with credentials may have one all the same.
  return secrecy === 'url' ? redactUrl(text) : withoutSecrets(text);
}

/** Whether Kubernetes sets such a variable for every service of the namespace: `CAUDAL_COMMAND_PORT_50051_TCP`. */
function isServiceLink(name: string, value: string): boolean {
  return (
    /_SERVICE_(HOST|PORT(_.+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) ||
    (name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value))
  );
}

function unknownVariables(settings: Settings, env: Environment, prefixes: string[]): string[] {
  const withFile = (name: string, setting: Setting<unknown>) =>
    mayComeFromFile(setting) ? [name, `${name}_FILE`] : [name];
  const names = Object.entries(settings).flatMap(([name, setting]) => withFile(name, setting));
  const former = Object.values(settings).flatMap((setting) =>
    setting.formerly === undefined ? [] : withFile(setting.formerly, setting),
  );
  const known = new Set([...names, ...former]);
  return Object.entries(env)
    .filter(([name]) => prefixes.some((prefix) => name.startsWith(prefix)) && !known.has(name))
    .filter(([name, value]) => !isServiceLink(name, value ?? ''))
    .map(([name]) => {
      const near = closest(name, names);
      // If more than a third of the name differs, it is another word, not a typing error.
      const hint = near && distance(name, near) <= name.length / 3 ? ` Did you mean ${near}?` : '';
      return `${name} is not a setting of Caudal and has no effect.${hint}`;
    });
}

export interface CheckOptions<S extends Settings> {
  /** Variables that begin with one of these and are not settings cause a warning; `CAUDAL_` if absent. */
  prefixes?: string[];
  /** Conditions between settings. */
  checks?: Check<S>[];
}

/** Reads and checks every setting, and the conditions between them. Never throws, whatever the environment holds. */
export function checkConfig<S extends Settings>(
  settings: S,
  env: Environment = process.env,
  { prefixes = ['CAUDAL_'], checks = [] }: CheckOptions<S> = {},
): CheckedConfig<S> {
  const values: Record<string, unknown> = {};
  const effective: Effective[] = [];
  const problems: Problem[] = [];
  const warnings: string[] = [];
  for (const [name, setting] of Object.entries(settings)) {
    const { text, source, problem, readAs, warnings: deprecated } = find(name, setting, env);
    warnings.push(...deprecated, ...formerWordsIn(name, text ?? '', setting));
    const fix = `Set it to ${setting.expects}`;
    if (problem) problems.push({ name, ...problem });
    else if (text === undefined) {
      if (!setting.optional) problems.push({ name, wrong: 'it is not set and has no default', fix });
    } else {
      const parsed = setting.schema.safeParse(text);
      if (parsed.success) values[name] = parsed.data;
      else
        problems.push({
          name,
          wrong: withoutSecrets(parsed.error.issues.map(({ message }) => message).join(', ')),
          fix,
        });
    }
    // A malformed URL may have its password anywhere.
    const unreadable = !Object.hasOwn(values, name) && setting.secrecy !== 'public';
    const value = text === undefined ? null : unreadable ? redactedSecret : shown(text, setting);
    effective.push({ name, value, source, ...(readAs && { readAs }), description: setting.description });
  }
  const wrong = new Set(problems.map(({ name }) => name));
  for (const { of, problem } of checks) {
    const found = of.some((name) => wrong.has(name)) ? undefined : problem(values as Values<S>);
    if (found) problems.push(found);
  }
  return {
    values: problems.length === 0 ? (values as Values<S>) : undefined,
    effective,
    problems,
    warnings: [...warnings, ...unknownVariables(settings, env, prefixes)],
  };
}

/**
 * The values of all settings. Throws ConfigError, which lists all problems. `warn` is called for each unknown variable
 * and each deprecated name.
 */
export function loadConfig<S extends Settings>(
  settings: S,
  {
    env = process.env,
    warn = () => {},
    ...options
  }: { env?: Environment; warn?: (message: string) => void } & CheckOptions<S> = {},
): Values<S> {
  const { values, problems, warnings } = checkConfig(settings, env, options);
  for (const warning of warnings) warn(warning);
  if (!values) throw new ConfigError(problems);
  return values;
}

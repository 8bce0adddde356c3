/** The kinds of settings: the text of each in an environment variable, and the value that it becomes. */
import { z } from 'zod';

/** What may be shown of a value: all of it, all but a URL's credentials, or nothing. */
export type Secrecy = 'public' | 'url' | 'secret';

export interface Setting<T> {
  /** Parses the text. The messages of its issues say what is wrong, without the value if it is secret. */
  readonly schema: z.ZodType<T, string>;
  /** Completes "Set NAME to ...": `a whole number from 1 to 10`. */
  readonly expects: string;
  readonly description: string;
  /** As text, as in the environment. */
  readonly default: string | undefined;
  readonly optional: boolean;
  readonly secrecy: Secrecy;
  /** The variable's deprecated name: still read, with a warning. */
  readonly formerly: string | undefined;
  /** Deprecated words of its value, each with its current name: still read, with a warning. */
  readonly formerWords: Readonly<Record<string, string>>;
}

export interface SettingOptions {
  /** What it does, for operators: a sentence. */
  description: string;
  /** The value if it is not set, as text: `'5s'`. Without a default it must be set. */
  default?: string;
  /** It may be left out without a default; then its value is undefined. */
  optional?: true;
  /** The variable's name before a rename. It is read for one more version, with a warning; docs/renames.md lists it. */
  formerly?: string;
}

type ValueOf<T, O> = O extends { optional: true } ? T | undefined : T;

function define<T, O extends SettingOptions>(
  options: O,
  expects: string,
  schema: z.ZodType<T, string>,
  { secrecy = 'public', formerWords = {} }: { secrecy?: Secrecy; formerWords?: Record<string, string> } = {},
): Setting<ValueOf<T, O>> {
  if (options.default !== undefined && !schema.safeParse(options.default).success)
    throw new Error(`The default "${options.default}" of a setting is not ${expects}: ${options.description}`);
  return {
    schema: schema as unknown as z.ZodType<ValueOf<T, O>, string>,
    expects,
    description: options.description,
    default: options.default,
    optional: options.optional ?? false,
    secrecy,
    formerly: options.formerly,
    formerWords,
  };
}

/**
 * Recognises variables that Kubernetes sets for services, as `CAUDAL_PORT=tcp://10.0.0.1:80`: one may be named like a
 * setting.
 */
function notExpected(text: string, expects: string): string {
  const link = /^(tcp|udp|sctp):\/\//.test(text);
  return `"${text}" is not ${expects}${link ? '; it is a service link of Kubernetes: set enableServiceLinks: false' : ''}`;
}

/** A schema for texts that `convert` turns into a value; it gives undefined if the text is not as expected. */
function converted<T>(expects: string, convert: (text: string) => T | undefined): z.ZodType<T, string> {
  return z.string().transform((text, context): T => {
    const value = convert(text);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: notExpected(text, expects) });
    return z.NEVER;
  });
}

interface Range {
  /** The smallest allowed value. */
  min?: number;
  /** The largest allowed value. */
  max?: number;
}

function within({ min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY }: Range) {
  return (value: number | undefined) =>
    value !== undefined && Number.isFinite(value) && value >= min && value <= max ? value : undefined;
}

function rangeText({ min, max }: Range, show: (value: number) => string = String): string {
  if (min !== undefined && max !== undefined) return ` from ${show(min)} to ${show(max)}`;
  if (min !== undefined) return `, at least ${show(min)}`;
  return max === undefined ? '' : `, at most ${show(max)}`;
}

/** A number with one of these units, as a multiple of the smallest one: `1.5s` is 1500 if `ms` is 1. */
function withUnit(text: string, units: Record<string, number>): number | undefined {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)\s*([A-Za-z]+)$/.exec(text) ?? [];
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  return amount === undefined || factor === undefined ? undefined : Math.round(Number(amount) * factor);
}

const durations = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const sizes = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/**
 * What is wrong with a URL, which may have several hosts with commas between them, as MongoDB's. The text does not
 * repeat the URL, since that may hold a password.
 */
function urlProblem(text: string, protocols: string[] | undefined): string | undefined {
  // The URL class allows only one host, so each is checked by itself.
  const [, scheme, user = '', hosts, rest] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*@)?([^/?#]*)(.*)$/is.exec(text) ?? [];
  if (scheme === undefined) return 'it does not start with a scheme and "://"';
  if (protocols && !protocols.includes(scheme.toLowerCase())) return `its scheme is "${scheme}"`;
  if (!hosts) return 'it names no host';
  for (const host of hosts.split(','))
    if (!host || !URL.canParse(`${scheme}://${user}${host}${rest}`))
      return 'its host, port or credentials are malformed';
  return undefined;
}

/** The values of a list, without blanks around them. */
export const wordsOf = (text: string): string[] => text.split(',').map((part) => part.trim());

export const setting = {
  /** The text itself. `pattern`: what it must match; `expects` describes it. */
  string<const O extends SettingOptions & { pattern?: RegExp; expects?: string }>(options: O) {
    const { pattern = /^/, expects = 'a text' } = options;
    const schema = z.string().regex(pattern, { error: ({ input }) => notExpected(String(input), expects) });
    return define(options, expects, schema);
  },

  /** A secret: never shown. Can be read from the file that NAME_FILE names. */
  secret<const O extends SettingOptions & { minLength?: number }>(options: O) {
    const { minLength = 1 } = options;
    const wrong = `it has fewer than ${minLength} characters`;
    const expects = minLength > 1 ? `a secret of at least ${minLength} characters` : 'a secret';
    return define(options, expects, z.string().min(minLength, { error: wrong }), { secrecy: 'secret' });
  },

  /**
   * Secrets with commas between them, so that a new one can be added before the old one is removed. They are never
   * shown, and blanks around them are ignored. Can be read from the file that NAME_FILE names. `minLength`: characters
   * of each.
   */
  secrets<const O extends SettingOptions & { minLength: number }>(options: O) {
    const { minLength } = options;
    const schema = z.string().transform((text, context): string[] => {
      const secrets = text.split(',').map((secret) => secret.trim());
      const short = secrets.findIndex(({ length }) => length < minLength);
      if (short >= 0)
        context.addIssue({ code: 'custom', message: `secret ${short + 1} has fewer than ${minLength} characters` });
      return secrets;
    });
    return define(options, `secrets of at least ${minLength} characters each, with commas between`, schema, {
      secrecy: 'secret',
    });
  },

  /**
   * A text that `parse` turns into the value. `parse` throws an Error that says what is wrong, without the text if that
   * is secret. `secrecy`: what may be shown of it; if it is not public, it can be read from the file that NAME_FILE
   * names.
   */
  parsed<T, const O extends SettingOptions & { expects: string; secrecy: Secrecy }>(
    options: O,
    parse: (text: string) => T,
  ) {
    const schema = z.string().transform((text, context): T => {
      try {
        return parse(text);
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as Error).message });
        return z.NEVER;
      }
    });
    return define<T, O>(options, options.expects, schema, { secrecy: options.secrecy });
  },

  /** A URL, kept as text. `protocols`: `['postgres', 'postgresql']`. Can be read from the file that NAME_FILE names. */
  url<const O extends SettingOptions & { protocols?: string[] }>(options: O) {
    const { protocols } = options;
    const expects = protocols ? `a URL that starts with ${protocols.map((p) => `${p}://`).join(' or ')}` : 'a URL';
    const schema = z.string().superRefine((text, context) => {
      const message = urlProblem(text, protocols);
      if (message) context.addIssue({ code: 'custom', message });
    });
    return define(options, expects, schema, { secrecy: 'url' });
  },

  /** A TCP port; 0 lets the system choose. */
  port<const O extends SettingOptions>(options: O) {
    const expects = 'a port from 0 to 65535';
    const inRange = within({ min: 0, max: 65535 });
    return define(
      options,
      expects,
      converted(expects, (text) => (/^\d{1,5}$/.test(text) ? inRange(Number(text)) : undefined)),
    );
  },

  /** A whole number. */
  int<const O extends SettingOptions & Range>(options: O) {
    const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = options;
    const expects = `a whole number${rangeText(options)}`;
    return define(
      options,
      expects,
      converted(expects, (text) => (/^-?\d+$/.test(text) ? within({ min, max })(Number(text)) : undefined)),
    );
  },

  /** A number, which may have a decimal point. */
  number<const O extends SettingOptions & Range>(options: O) {
    const expects = `a number${rangeText(options)}`;
    return define(
      options,
      expects,
      converted(expects, (text) => (/^-?\d+(\.\d+)?$/.test(text) ? within(options)(Number(text)) : undefined)),
    );
  },

  /** A time span, written `200ms`, `5s`, `1.5m`, `2h` or `30d`; becomes milliseconds. `min`, `max`: milliseconds. */
  duration<const O extends SettingOptions & Range>(options: O) {
    const expects = `a duration such as 200ms, 5s, 10m, 2h or 30d${rangeText(options, (ms) => `${ms}ms`)}`;
    return define(
      options,
      expects,
      converted(expects, (text) => within(options)(withUnit(text, durations))),
    );
  },

  /** A size, written `64MiB`, `500kB` or `10B`; becomes bytes. `min`, `max`: bytes. */
  bytes<const O extends SettingOptions & Range>(options: O) {
    const expects = `a size such as 500kB, 64MiB or 2GiB${rangeText(options, (bytes) => `${bytes}B`)}`;
    return define(
      options,
      expects,
      converted(expects, (text) => within(options)(withUnit(text, sizes))),
    );
  },

  /** `true` or `false`. */
  boolean<const O extends SettingOptions>(options: O) {
    const expects = 'true or false';
    return define(
      options,
      expects,
      converted(expects, (text) => (text === 'true' ? true : text === 'false' ? false : undefined)),
    );
  },

  /** One of these words. */
  oneOf<const W extends string, const O extends SettingOptions>(words: readonly W[], options: O) {
    const expects = `one of: ${words.join(', ')}`;
    return define(
      options,
      expects,
      converted<W>(expects, (text) => words.find((word) => word === text)),
    );
  },

  /**
   * Values with commas between them; blanks around them are ignored. `allowed`: the values that it may hold.
   * `formerWords`: deprecated values, each with its current name, which replaces it.
   */
  list<const O extends SettingOptions & { allowed?: readonly string[]; formerWords?: Record<string, string> }>(
    options: O,
  ) {
    const { allowed, formerWords = {} } = options;
    const expects = `values with commas between them${allowed ? `, each one of: ${allowed.join(', ')}` : ''}`;
    const valid = (part: string) => part !== '' && (!allowed || allowed.includes(part));
    const parse = (text: string) => {
      const parts = wordsOf(text).map((part) => (Object.hasOwn(formerWords, part) ? formerWords[part]! : part));
      // A deprecated word and its current name count once.
      return parts.every(valid) ? [...new Set(parts)] : undefined;
    };
    return define(options, expects, converted(expects, parse), { formerWords });
  },
};

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ConfigError, checkConfig, loadConfig, type Values } from './config.ts';
import { printConfig } from './print.ts';
import { setting } from './setting.ts';

const settings = {
  POSTGRES_URL: setting.url({ description: 'The database.', protocols: ['postgres', 'postgresql'] }),
  CAUDAL_REST_PORT: setting.port({ description: 'Where REST listens.', default: '8080' }),
  CAUDAL_DRAIN: setting.duration({ description: 'Time to finish.', default: '5s', max: 60_000 }),
  CAUDAL_BODY_LIMIT: setting.bytes({ description: 'Largest body.', default: '1MiB' }),
  CAUDAL_ROLES: setting.list({
    description: 'What it runs.',
    default: 'command, query',
    allowed: ['command', 'query'],
  }),
  CAUDAL_MODE: setting.oneOf(['development', 'production'], { description: 'Where.', default: 'production' }),
  CAUDAL_BATCH: setting.int({ description: 'Batch.', min: 1, max: 1000, default: '100' }),
  CAUDAL_SAMPLING: setting.number({ description: 'Share of traces.', min: 0, max: 1, default: '0.1' }),
  CAUDAL_REFLECTION: setting.boolean({ description: 'Reflection.', default: 'false' }),
  CAUDAL_JWT_SECRET: setting.secret({ description: 'Signs tokens.', minLength: 8, optional: true }),
};

const minimal = { POSTGRES_URL: 'postgres://caudal:hunter2@db:5432/caudal?sslkey=abc' };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('values', () => {
  test('are read from the environment, or from the defaults, with their types', () => {
    const values = loadConfig(settings, { env: { ...minimal, CAUDAL_DRAIN: '1.5s', CAUDAL_ROLES: 'query' } });
    const typed: { CAUDAL_MODE: 'development' | 'production'; CAUDAL_JWT_SECRET: string | undefined } = values;
    expect(typed).toEqual({
      POSTGRES_URL: minimal.POSTGRES_URL,
      CAUDAL_REST_PORT: 8080,
      CAUDAL_DRAIN: 1500,
      CAUDAL_BODY_LIMIT: 1_048_576,
      CAUDAL_ROLES: ['query'],
      CAUDAL_MODE: 'production',
      CAUDAL_BATCH: 100,
      CAUDAL_SAMPLING: 0.1,
      CAUDAL_REFLECTION: false,
    });
  });

  test('only an optional setting may be undefined', () => {
    type Loaded = Values<typeof settings>;
    const optional: Loaded['CAUDAL_JWT_SECRET'] = undefined;
    // @ts-expect-error a port with a default is always a number
    const required: Loaded['CAUDAL_REST_PORT'] = undefined;
    expect([optional, required]).toEqual([undefined, undefined]);
  });

  test('an empty variable counts as not set', () => {
    expect(loadConfig(settings, { env: { ...minimal, CAUDAL_REST_PORT: '' } }).CAUDAL_REST_PORT).toBe(8080);
  });

  test('a default that its setting would refuse is an error when the setting is defined', () => {
    expect(() => setting.port({ description: 'A port.', default: 'http' })).toThrow('"http"');
  });
});

describe('problems', () => {
  test('are listed all at once: the variable, what is wrong, and the fix', () => {
    const env = {
      POSTGRES_URL: 'mysql://root:hunter2@db/x',
      CAUDAL_REST_PORT: '80800',
      CAUDAL_DRAIN: '5',
      CAUDAL_BODY_LIMIT: '1 lot',
      CAUDAL_ROLES: 'query,,projector',
      CAUDAL_MODE: 'prod',
      CAUDAL_BATCH: '0',
      CAUDAL_SAMPLING: '1.1',
      CAUDAL_REFLECTION: 'yes',
      CAUDAL_JWT_SECRET: 'short',
    };
    const { problems, values } = checkConfig(settings, env);
    expect(values).toBeUndefined();
    expect(problems.map((problem) => problem.name)).toEqual(Object.keys(env));
    let message = '';
    try {
      loadConfig(settings, { env });
    } catch (error) {
      message = (error as ConfigError).message;
      expect(error).toBeInstanceOf(ConfigError);
    }
    expect(message).toContain('CAUDAL_MODE: "prod" is not one of: development, production.');
    expect(message).toContain('CAUDAL_BATCH: "0" is not a whole number from 1 to 1000.');
    expect(message).toContain('Set it to a URL that starts with postgres:// or postgresql://');
    expect(message).not.toContain('hunter2');
    expect(message).not.toContain('short');
  });

  test('a missing setting', () => {
    expect(() => loadConfig(settings, { env: {} })).toThrow('POSTGRES_URL: it is not set and has no default');
  });

  test.each(['not a url', 'postgres://', 'postgres://db:port/x', 'postgres://a,,b/x'])('the URL %p', (url) => {
    expect(checkConfig(settings, { POSTGRES_URL: url }).problems).toHaveLength(1);
  });

  test('a URL may name several hosts', () => {
    const mongodb = { MONGODB_URL: setting.url({ description: 'Views.', protocols: ['mongodb'] }) };
    const url = 'mongodb://user:p%40ss@a:27017,b:27018/views?replicaSet=rs';
    expect(loadConfig(mongodb, { env: { MONGODB_URL: url } }).MONGODB_URL).toBe(url);
  });

  test("a Kubernetes service link in a port's place is recognised", () => {
    const { problems } = checkConfig(settings, { ...minimal, CAUDAL_REST_PORT: 'tcp://10.0.0.1:80' });
    expect(problems[0]?.wrong).toContain('enableServiceLinks');
  });
});

describe('a condition between settings', () => {
  const bothPorts = {
    of: ['CAUDAL_REST_PORT', 'CAUDAL_BATCH'] as ('CAUDAL_REST_PORT' | 'CAUDAL_BATCH')[],
    problem: ({ CAUDAL_REST_PORT, CAUDAL_BATCH }: Values<typeof settings>) =>
      CAUDAL_REST_PORT === CAUDAL_BATCH
        ? { name: 'CAUDAL_BATCH', wrong: 'it is the port', fix: 'Set it to another number' }
        : undefined,
  };
  const check = (env: Record<string, string>) => checkConfig(settings, { ...minimal, ...env }, { checks: [bothPorts] });

  test('is reported together with all other problems', () => {
    expect(check({ CAUDAL_REST_PORT: '100', CAUDAL_MODE: 'prod' }).problems.map(({ wrong }) => wrong)).toEqual([
      expect.stringContaining('"prod"'),
      'it is the port',
    ]);
    expect(check({ CAUDAL_REST_PORT: '101' }).problems).toEqual([]);
    const load = () => loadConfig(settings, { env: { ...minimal, CAUDAL_BATCH: '8' }, checks: [bothPorts] });
    expect(load).not.toThrow();
    const env = { ...minimal, CAUDAL_REST_PORT: '100' };
    expect(() => loadConfig(settings, { env, checks: [bothPorts] })).toThrow('CAUDAL_BATCH: it is the port.');
  });

  test('is not checked if one of its settings is wrong by itself', () => {
    expect(check({ CAUDAL_REST_PORT: 'http' }).problems).toHaveLength(1);
  });
});

describe('a parsed setting', () => {
  const pairs = {
    CAUDAL_PAIR: setting.parsed(
      { description: 'Two words.', expects: 'two words', secrecy: 'secret', optional: true },
      (text): [string, string] => {
        const [first, second] = text.split(' ');
        if (!first || !second) throw new Error('it has one word');
        return [first, second];
      },
    ),
  };

  test('has the value that its function returns, and shows no more of it than its secrecy allows', () => {
    const typed: { CAUDAL_PAIR: [string, string] | undefined } = loadConfig(pairs, { env: { CAUDAL_PAIR: 'a b' } });
    expect(typed).toEqual({ CAUDAL_PAIR: ['a', 'b'] });
    const text = printConfig(checkConfig(pairs, { CAUDAL_PAIR: 'hunter2' }));
    expect(text).toContain('!! it has one word');
    expect(text).not.toContain('hunter2');
    expect(() => loadConfig(pairs, { env: { CAUDAL_PAIR: 'x' } })).toThrow('it has one word. Set it to two words');
  });
});

describe('secrets with commas between', () => {
  const several = { CAUDAL_SECRETS: setting.secrets({ description: 'Two.', minLength: 8, optional: true }) };

  test('are a list that is never shown', () => {
    const typed: { CAUDAL_SECRETS: string[] | undefined } = loadConfig(several, {
      env: { CAUDAL_SECRETS: 'hunter22, hunter33' },
    });
    expect(typed).toEqual({ CAUDAL_SECRETS: ['hunter22', 'hunter33'] });
    expect(printConfig(checkConfig(several, { CAUDAL_SECRETS: 'hunter22,hunter33' }))).not.toContain('hunter');
  });

  test.each([
    ['hunter22,hunter', 'secret 2 has fewer than 8 characters'],
    ['hunter22,', 'secret 2 has fewer than 8 characters'],
    ['hunter', 'secret 1 has fewer than 8 characters'],
  ])('may not be short: %s', (text, wrong) => {
    const load = () => loadConfig(several, { env: { CAUDAL_SECRETS: text } });
    expect(load).toThrow(`CAUDAL_SECRETS: ${wrong}. Set it to secrets of at least 8 characters each`);
    expect(load).not.toThrow('hunter');
  });
});

describe('secrets from files', () => {
  test('NAME_FILE names the file; its last line break does not count', () => {
    const file = join(folder, 'secret');
    writeFileSync(file, 'a long secret\n');
    const env = { ...minimal, CAUDAL_JWT_SECRET_FILE: file };
    expect(loadConfig(settings, { env }).CAUDAL_JWT_SECRET).toBe('a long secret');
    expect(checkConfig(settings, env).warnings).toEqual([]);
  });

  test('a missing file is a problem, and so is setting both variables', () => {
    const missing = { ...minimal, CAUDAL_JWT_SECRET_FILE: join(folder, 'missing') };
    expect(checkConfig(settings, missing).problems[0]?.wrong).toContain('ENOENT');
    const both = { ...missing, CAUDAL_JWT_SECRET: 'a long secret' };
    expect(checkConfig(settings, both).problems[0]?.wrong).toContain('CAUDAL_JWT_SECRET_FILE is set as well');
  });
});

describe('unknown variables', () => {
  test('with the prefix cause a warning with the likely name', () => {
    const env = { ...minimal, CAUDAL_REST_PROT: '1', CAUDAL_SOMETHING_ELSE_ENTIRELY: '1', PATH: '/bin' };
    const warnings: string[] = [];
    loadConfig(settings, { env, warn: (warning) => warnings.push(warning) });
    expect(warnings).toEqual([
      'CAUDAL_REST_PROT is not a setting of Caudal and has no effect. Did you mean CAUDAL_REST_PORT?',
      'CAUDAL_SOMETHING_ELSE_ENTIRELY is not a setting of Caudal and has no effect.',
    ]);
  });

  test('with other prefixes, where they are given', () => {
    const env = { ...minimal, ORDERS_TIMEOUTT: '1s', ORDERS_SERVICE_HOST: '10.0.0.1', OTHER_THING: '1' };
    expect(checkConfig(settings, env).warnings).toEqual([]);
    expect(checkConfig(settings, env, { prefixes: ['CAUDAL_', 'ORDERS_'] }).warnings).toEqual([
      'ORDERS_TIMEOUTT is not a setting of Caudal and has no effect.',
    ]);
  });

  test("Kubernetes' service links cause no warning", () => {
    const env = {
      ...minimal,
      CAUDAL_COMMAND_SERVICE_HOST: '10.0.0.1',
      CAUDAL_COMMAND_SERVICE_PORT_GRPC: '50051',
      CAUDAL_COMMAND_PORT: 'tcp://10.0.0.1:50051',
      CAUDAL_COMMAND_PORT_50051_TCP_ADDR: '10.0.0.1',
    };
    expect(checkConfig(settings, env).warnings).toEqual([]);
  });
});

describe('--print-config', () => {
  const env = { ...minimal, CAUDAL_JWT_SECRET: 'a long secret', CAUDAL_BATCH: 'many', CAUDAL_BACH: '1' };

  test('shows value, source, description and problems, and no secret', () => {
    const text = printConfig(checkConfig(settings, env));
    expect(text).toContain('POSTGRES_URL=postgres://caudal:***@db:5432/caudal?sslkey=***  (env)\n  The database.');
    expect(text).toContain('CAUDAL_REST_PORT=8080  (default)');
    expect(text).toContain('CAUDAL_JWT_SECRET=***  (env)');
    expect(text).toContain('  !! "many" is not a whole number');
    expect(text).toContain('Did you mean CAUDAL_BATCH?');
    expect(text).not.toMatch(/hunter2|a long secret|abc/);
  });

  test.each(['caudal:hunter2@db', 'postgres://caudal:hun/ter2@db', 'postgres://caudal:p@ss/hunter2@db:1/x'])(
    'shows no password of the malformed URL %p',
    (url) => {
      const text = printConfig(checkConfig(settings, { POSTGRES_URL: url }));
      expect(text).not.toMatch(/hun|ter2|ss/);
    },
  );

  test.each([
    ['a user without a password', 'postgres://hunter2@db/caudal', 'postgres://***@db/caudal'],
    [
      'a signature',
      'postgres://db/caudal?sslmode=require&signature=hunter2',
      'postgres://db/caudal?sslmode=require&signature=***',
    ],
    ['an address that is no URL setting', 'https://hunter2@db/', undefined],
  ])('shows no secret of a URL with %s', (_, url, shown) => {
    const text = printConfig(checkConfig(settings, { POSTGRES_URL: url, CAUDAL_BATCH: url }));
    expect(text).not.toContain('hunter2');
    if (shown) expect(text).toContain(`POSTGRES_URL=${shown} `);
  });

  test('prints JSON', () => {
    const parsed = JSON.parse(printConfig(checkConfig(settings, minimal), { json: true }));
    expect(parsed.problems).toEqual([]);
    expect(parsed.settings[1]).toEqual({
      name: 'CAUDAL_REST_PORT',
      value: '8080',
      source: 'default',
      description: 'Where REST listens.',
    });
  });
});

describe('deprecated names', () => {
  const renamed = {
    CAUDAL_RECONCILIATION_INTERVAL: setting.duration({
      description: 'How often.',
      default: '30s',
      formerly: 'CAUDAL_SWEEP_INTERVAL',
    }),
    CAUDAL_STORE_URL: setting.url({ description: 'The store.', optional: true, formerly: 'CAUDAL_DEPOT_URL' }),
    CAUDAL_ROLES: setting.list({
      description: 'What it runs.',
      default: 'command,saga',
      allowed: ['command', 'saga'],
      formerWords: { process: 'saga' },
    }),
  };
  const interval = (env: Record<string, string>) => {
    const { values, warnings, problems } = checkConfig(renamed, env);
    return { value: values?.CAUDAL_RECONCILIATION_INTERVAL, warnings, problems };
  };

  test('a former name is read, with a warning that names both and the version that removes it', () => {
    expect(interval({ CAUDAL_SWEEP_INTERVAL: '2s' })).toEqual({
      value: 2_000,
      problems: [],
      warnings: ['CAUDAL_SWEEP_INTERVAL is deprecated and will be removed in 0.3: use CAUDAL_RECONCILIATION_INTERVAL.'],
    });
  });

  test('the new name alone, or none, causes no warning', () => {
    expect(interval({ CAUDAL_RECONCILIATION_INTERVAL: '2s' })).toEqual({ value: 2_000, problems: [], warnings: [] });
    expect(interval({ CAUDAL_SWEEP_INTERVAL: '' })).toEqual({ value: 30_000, problems: [], warnings: [] });
  });

  test('both with the same value cause a warning; with different values an error that names both', () => {
    const both = interval({ CAUDAL_RECONCILIATION_INTERVAL: '2s', CAUDAL_SWEEP_INTERVAL: '2s' });
    expect(both).toMatchObject({ value: 2_000, warnings: [expect.stringContaining('unset CAUDAL_SWEEP_INTERVAL')] });
    const load = () =>
      loadConfig(renamed, { env: { CAUDAL_RECONCILIATION_INTERVAL: '2s', CAUDAL_SWEEP_INTERVAL: '3s' } });
    expect(load).toThrow(
      'CAUDAL_RECONCILIATION_INTERVAL: CAUDAL_SWEEP_INTERVAL, its deprecated name, is set as well, and to another value.',
    );
    expect(load).toThrow('Unset CAUDAL_SWEEP_INTERVAL and set CAUDAL_RECONCILIATION_INTERVAL');
  });

  test('a wrong value under the former name is an error of the setting', () => {
    expect(interval({ CAUDAL_SWEEP_INTERVAL: '2' }).problems).toMatchObject([
      { name: 'CAUDAL_RECONCILIATION_INTERVAL', wrong: expect.stringContaining('"2" is not a duration') },
    ]);
  });

  test('a former name may come from a file, too', () => {
    const file = join(folder, 'depot');
    writeFileSync(file, 'https://user:hunter2@store/\n');
    const checked = checkConfig(renamed, { CAUDAL_DEPOT_URL_FILE: file });
    expect(checked.values?.CAUDAL_STORE_URL).toBe('https://user:hunter2@store/');
    expect(checked.warnings).toHaveLength(1);
    const clash = checkConfig(renamed, { CAUDAL_DEPOT_URL_FILE: file, CAUDAL_STORE_URL: 'https://a:hunter3@store/' });
    expect(clash.problems).toMatchObject([{ name: 'CAUDAL_STORE_URL', wrong: expect.stringContaining('DEPOT_URL') }]);
    expect(JSON.stringify(clash)).not.toMatch(/hunter/);
  });

  test('a former word of a value is replaced by its current name, once', () => {
    const roles = (text: string) => {
      const { values, warnings } = checkConfig(renamed, { CAUDAL_ROLES: text });
      return { roles: values?.CAUDAL_ROLES, warnings };
    };
    const warnings = ['CAUDAL_ROLES: "process" is deprecated and will be removed in 0.3: use "saga".'];
    expect(roles('process,command')).toEqual({ roles: ['saga', 'command'], warnings });
    expect(roles('process, saga')).toEqual({ roles: ['saga'], warnings });
    expect(roles('saga')).toEqual({ roles: ['saga'], warnings: [] });
    expect(roles('processes').roles).toBeUndefined();
  });

  test('are shown if they are in effect', () => {
    const shown = printConfig(checkConfig(renamed, { CAUDAL_SWEEP_INTERVAL: '2s' }));
    expect(shown).toContain('CAUDAL_RECONCILIATION_INTERVAL=2s  (env, as CAUDAL_SWEEP_INTERVAL)');
    expect(shown).toContain('!! CAUDAL_SWEEP_INTERVAL is deprecated');
  });
});

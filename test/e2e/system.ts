/**
 * Caudal as child processes, for tests of the whole system, in three forms:
 *
 *   embedded    one process that does everything: what `npm start` runs
 *   stores      one process on the real servers
 *   processes   one or several processes per role, on the real servers; each can be killed and started again
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { everything } from '@caudal/cli/permissions.ts';
import { parseTokenKeys, type TokenKeys } from '@caudal/kernel/sealed-token.ts';
import { generateKey, signToken } from '@caudal/rpc/server/tokens.ts';
import { rolesOfCredentials } from '@caudal/server/settings/credential-roles.ts';
import { type Api, createApi } from './api.ts';
import { createPart, freePorts, main, type Part, root } from './part.ts';
import { type DatabaseRole, makeStores, type Stores } from './stores.ts';

export type Form = 'embedded' | 'stores' | 'processes';

const partsOf = {
  embedded: { all: undefined },
  stores: { all: undefined },
  processes: {
    command: 'command,jobs,worker',
    query: 'query',
    relay: 'relay',
    projector: 'projector',
    saga: 'saga',
  },
} satisfies Record<Form, Record<string, string | undefined>>;

export interface System {
  form: Form;
  /** By name: `all`, or the role. If a role has several: `relay-1`, `relay-2`, ... */
  part(name: string): Part;
  parts: Part[];
  /** The API for a caller with all permissions. */
  api: Api;
  /** A token that the system accepts. `permissions`: all if absent. */
  token(content: TokenContent): Promise<string>;
  /** The keys that seal its tokens. */
  tokenKeys(): TokenKeys;
  /** What it keeps in the form `embedded`. */
  dataDirectory: string;
  /** Absent in the form `embedded`. */
  stores: Stores | undefined;
  /** Runs the `caudal` command on the system's stores. Throws if its exit code is not 0. Returns its output. */
  caudal(...args: string[]): Promise<string>;
  /** The error, with the logs of the processes. */
  explain(error: unknown): unknown;
  /** Ends all processes and drops their data. Logs are deleted only if nothing failed. */
  stop(): Promise<void>;
}

export interface TokenContent {
  subject: string;
  permissions?: string[];
  ttlSeconds?: number;
  /** Another issuer, audience or key than the system's makes the token wrong. */
  issuer?: string;
  audience?: string;
  key?: 'right' | 'wrong';
}

export interface SystemOptions {
  form: Form;
  /** How many processes per role, in the form `processes`: one if absent. */
  copies?: number;
  /** As whom the processes connect to PostgreSQL; the owner if absent. */
  databaseRole?: DatabaseRole;
  /** More settings for a part. */
  env?(part: string, stores: Stores | undefined): Record<string, string>;
}

const logs = join(root, '.caudal/e2e');
const commandMs = 60_000;

/** Starts the system, and waits until all of it is ready. */
export async function startSystem({
  form,
  copies = 1,
  databaseRole = 'owner',
  env = () => ({}),
}: SystemOptions): Promise<System> {
  mkdirSync(logs, { recursive: true });
  const folder = mkdtempSync(join(logs, `${form}-`));
  const dataDirectory = mkdtempSync(join(tmpdir(), 'caudal-e2e-'));
  const [key, wrongKey] = [await generateKey('e2e'), await generateKey('e2e')];
  const stores = form === 'embedded' ? undefined : await makeStores({ role: databaseRole });
  const tokenKey = `e2e:${randomBytes(32).toString('base64')}`;
  const tokenKeys = () =>
    parseTokenKeys(stores ? tokenKey : readFileSync(join(dataDirectory, 'token-keys'), 'utf8').trim());
  const places = placesOf(form, copies);
  const ports = await freePorts(places.length * 2);
  const portsOf = (index: number) => ({ rest: ports[index * 2]!, grpc: ports[index * 2 + 1]! });
  const grpcOf = (wanted: string) => {
    const addresses = places.flatMap(({ kind }, index) => (kind === wanted ? `127.0.0.1:${portsOf(index).grpc}` : []));
    // In gRPC, several addresses in one target stand for what a service's DNS name resolves to.
    return addresses.length > 1 ? `ipv4:${addresses.join(',')}` : addresses[0]!;
  };

  const parts = places.map(({ name, role }, index) =>
    createPart({
      name,
      ports: portsOf(index),
      logFile: join(folder, `${name}.log`),
      env: {
        CAUDAL_DATA_DIR: dataDirectory,
        CAUDAL_JWKS: JSON.stringify({ keys: [key.publicKey] }),
        CAUDAL_SERVICE_KEY: JSON.stringify(key.privateKey),
        // The embedded system makes one.
        ...usedBy(role, { ...(stores && { CAUDAL_TOKEN_KEYS: tokenKey }), ...stores?.env }),
        ...(role && {
          CAUDAL_ROLES: role,
          CAUDAL_COMMAND_ADDRESS: grpcOf('command'),
          CAUDAL_QUERY_ADDRESS: grpcOf('query'),
          CAUDAL_FORWARD_HOST: '127.0.0.1',
        }),
        ...env(name, stores),
      },
    }),
  );
  const part = (name: string) => {
    const found = parts.find((candidate) => candidate.name === name);
    if (!found) throw new Error(`The form ${form} has no part "${name}".`);
    return found;
  };
  const token: System['token'] = ({ subject, permissions = everything(), ttlSeconds = 3600, ...wrong }) =>
    signToken({
      key: (wrong.key === 'wrong' ? wrongKey : key).privateKey,
      issuer: wrong.issuer ?? 'caudal',
      audience: wrong.audience ?? 'caudal',
      subject,
      permissions,
      ttlSeconds,
    });

  const caudal: System['caudal'] = async (...args) => {
    const ownerUrl = databaseRole === 'application' ? { CAUDAL_OWNER_DATABASE_URL: stores?.databaseUrl } : {};
    const settings = { PATH: process.env.PATH, HOME: process.env.HOME, CAUDAL_DATA_DIR: dataDirectory, ...stores?.env };
    const { stdout } = await promisify(execFile)(process.execPath, [join(root, main), ...args], {
      env: { ...settings, ...ownerUrl, LOG_LEVEL: 'fatal' },
      timeout: commandMs,
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  };

  let failed = false;
  async function stop(): Promise<void> {
    // Listeners and consumers end first, so that the processes that they call run until then.
    for (const { end } of parts.toReversed()) await end('SIGTERM');
    endPostgres(dataDirectory);
    await stores?.drop();
    if (!failed) rmSync(folder, { recursive: true, force: true });
    rmSync(dataDirectory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  const explain = (error: unknown): unknown => {
    failed = true;
    if (error instanceof Error) {
      error.message += `\n\n${parts.map((each) => each.trouble()).join('\n')}`;
    }
    return error;
  };

  try {
    await Promise.all(parts.map((each) => each.start()));
    let calls = 0;
    const answering = (role: 'command' | 'query') => {
      const candidates = parts.filter((_, index) => ['all', role].includes(places[index]!.kind));
      calls += 1;
      return candidates[calls % candidates.length]!.rest;
    };
    const api = createApi({ baseUrl: answering, token: await token({ subject: 'e2e' }) });
    return { form, part, parts, api, token, tokenKeys, dataDirectory, stores, caudal, explain, stop };
  } catch (error) {
    failed = true;
    await stop();
    throw error;
  }
}

/** Of these settings a process of its own gets what its roles use, as the chart gives it. */
function usedBy(role: string | undefined, all: Record<string, string>): Record<string, string> {
  const roles = role?.split(',');
  const isUsed = (name: string) => {
    const users: readonly string[] | undefined = rolesOfCredentials[name as keyof typeof rolesOfCredentials];
    return !roles || !users || users.some((user) => roles.includes(user));
  };
  return Object.fromEntries(Object.entries(all).filter(([name]) => isUsed(name)));
}

/** The processes of a form: `kind` is `all`, or a key of `partsOf.processes`. */
function placesOf(form: Form, copies: number): { name: string; kind: string; role: string | undefined }[] {
  return Object.entries(partsOf[form]).flatMap(([kind, role]) =>
    copies === 1
      ? [{ name: kind, kind, role }]
      : Array.from({ length: copies }, (_, index) => ({ name: `${kind}-${index + 1}`, kind, role })),
  );
}

/** An embedded PostgreSQL outlives a process that is killed. */
function endPostgres(dataDirectory: string): void {
  try {
    const [pid] = readFileSync(join(dataDirectory, 'postgres', 'postmaster.pid'), 'utf8').split('\n');
    // "Immediate" shutdown: its data is not needed any more.
    process.kill(Number(pid), 'SIGQUIT');
  } catch {
    // It has ended.
  }
}

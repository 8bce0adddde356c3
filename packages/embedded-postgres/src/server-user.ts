/**
 * The user that runs PostgreSQL: this process's own, or another one if that is root, which PostgreSQL refuses. See
 * README, The user as which root runs PostgreSQL.
 */
import { type ExecFileOptions, execFile } from 'node:child_process';
import { chmod, chown, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The arguments of `execFile` that run a command as the server's user. */
export type AsServer = (command: string, args: string[]) => [string, string[], ExecFileOptions];

interface User {
  name: string;
  uid: number;
  gid: number;
}

export interface ServerUserOptions {
  /** The cluster's folder. */
  data: string;
  initdb: string;
  /** Files that the server writes beside it. */
  files: string[];
}

/** The data directory of a server that can write every file. Its own value, so that a later start can open it again. */
const closedMode = 0o710;

/** The environment of the server: nothing of Caudal's own, whose settings hold secrets. */
const { PATH, LANG, LC_ALL, TZ } = process.env;
const env = process.platform === 'win32' ? process.env : { PATH, LANG, LC_ALL, TZ };

/**
 * How the commands of PostgreSQL are run. If this process is root, the server's user becomes the owner of `data` and
 * `files`. Throws an error that names the fix if no user can reach the programs and the data.
 */
export async function serverUser({ data, initdb, files }: ServerUserOptions): Promise<AsServer> {
  if (process.getuid?.() !== 0) return (command, args) => [command, args, { cwd: data, env }];
  const made = await stat(join(data, 'base')).catch(() => undefined);
  const user = await chooseUser(made && (await stat(data)));
  for (const path of [data, ...files]) await chown(path, user.uid, user.gid);
  // Earlier versions could change the owner of a cluster's folder: then some of its files belong to another user.
  const problems: string[] = [];
  const base = dirname(data);
  if (!made || made.uid === user.uid) {
    // Closed by an earlier start, see below: it may not be necessary any more.
    if (((await stat(base)).mode & 0o777) === closedMode) await chmod(base, 0o711);
    const as = plain(user, data);
    const problem = await problemOf(as, initdb, data);
    if (problem === undefined) return as;
    problems.push(problem);
  }
  // A server that can write every file is reachable for root alone: other processes of its user must not find its port.
  if ((await stat(base)).mode & 0o007) await chmod(base, closedMode);
  const as = withCapability(user, data);
  const problem = await problemOf(as, initdb, data);
  if (problem === undefined) return as;
  problems.push(problem);
  const cause = new Error(problems.join('\n'));
  throw new Error(await explain(user, initdb, data), { cause });
}

/** The owner of the existing cluster, so that its files keep their owner; otherwise the user `postgres` or `nobody`. */
async function chooseUser(cluster: { uid: number } | undefined): Promise<User> {
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => {
    const [name = '', , uid, gid] = line.split(':');
    return { name, uid: Number(uid), gid: Number(gid) };
  });
  // PostgreSQL does not run as a user without a name. The data may be of another machine or a container.
  const owner = users.find(({ uid }) => uid === cluster?.uid && uid !== 0);
  if (owner) return owner;
  const user = ['postgres', 'nobody'].flatMap((name) => users.find((each) => each.name === name) ?? [])[0];
  if (user) return user;
  throw new Error(
    'PostgreSQL does not run as root, and there is no user "postgres" or "nobody" to run it as. ' +
      'Run Caudal as an ordinary user, or set DATABASE_URL to a server.',
  );
}

/** Without further rights: works if all users may pass the folders above the programs and the data. */
function plain({ uid, gid }: User, data: string): AsServer {
  return (command, args) => [command, args, { cwd: data, uid, gid, env }];
}

/**
 * With one right of root's: to pass closed folders, such as root's home above the checkout. initdb finds its programs
 * with access(2), which respects a capability of an ordinary user only under no_setuid_fixup.
 */
function withCapability({ uid, gid }: User, data: string): AsServer {
  const rights = [
    '--securebits=+no_setuid_fixup',
    '--inh-caps=-all,+dac_override',
    '--ambient-caps=-all,+dac_override',
    '--bounding-set=-all,+dac_override',
  ];
  const options = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', ...rights];
  return (command, args) => ['setpriv', [...options, command, ...args], { cwd: data, env }];
}

/** Why the programs or the data can't be reached; undefined if they can. */
async function problemOf(as: AsServer, initdb: string, data: string): Promise<string | undefined> {
  try {
    // `--show` checks that all programs and files exist, and creates nothing.
    await run(...as(initdb, ['--show', '-D', data, '-U', 'caudal']));
    await run(...as('/bin/sh', ['-c', 'cd "$1"', 'sh', data]));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

async function explain({ name, uid, gid }: User, initdb: string, data: string): Promise<string> {
  const begin = `PostgreSQL does not run as root, and the user "${name}", as which root runs it, can't`;
  const others = 'run Caudal as an ordinary user, or set DATABASE_URL to a server.';
  const closed = await closedFolder([initdb, join(data, '.')], { uid, gid });
  if (!closed) return `${begin} be used here (some containers forbid root to change the user): ${others}`;
  const open = `open it ("chmod a+x ${closed}")`;
  return `${begin} enter ${closed}: ${open}, install setpriv (Debian has it in util-linux), ${others}`;
}

/** The topmost folder above one of the paths that the user may not pass. */
async function closedFolder(paths: string[], { uid, gid }: Omit<User, 'name'>): Promise<string | undefined> {
  const folders = paths.flatMap((path) => {
    const above = [dirname(path)];
    for (let next = dirname(above[0]!); next !== above[0]; next = dirname(next)) above.unshift(next);
    return above;
  });
  for (const folder of folders) {
    const { mode, ...owner } = await stat(folder);
    const bit = owner.uid === uid ? 0o100 : owner.gid === gid ? 0o010 : 0o001;
    if (!(mode & bit)) return folder;
  }
  return undefined;
}

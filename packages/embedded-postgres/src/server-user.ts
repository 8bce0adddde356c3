/**
 * The user as which PostgreSQL runs: this process's own, or another one if that is root, which PostgreSQL refuses.
 * The README says which ways were rejected, and why.
 */
import { type ExecFileOptions, execFile } from 'node:child_process';
import { chown, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A command as the server's user runs it, as the arguments of `execFile`. */
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
  /** Files that the server reads or writes beside it. */
  files: string[];
}

/**
 * How the commands of PostgreSQL are run. If this process is root, `data` and `files` become the server user's.
 * Throws, with what to do, if root has no user that can reach the programs and the data.
 */
export async function serverUser({ data, initdb, files }: ServerUserOptions): Promise<AsServer> {
  if (process.getuid?.() !== 0) return (command, args) => [command, args, { cwd: data }];
  const made = await stat(join(data, 'base')).catch(() => undefined);
  const user = await chooseUser(made && (await stat(data)));
  for (const path of [data, ...files]) await chown(path, user.uid, user.gid);
  // Earlier versions could change the user of a cluster: then some of its files are not this user's.
  const ways =
    made && made.uid !== user.uid ? [withCapability(user, data)] : [plain(user, data), withCapability(user, data)];
  const problems: string[] = [];
  for (const as of ways) {
    const problem = await problemOf(as, initdb, data);
    if (problem === undefined) return as;
    problems.push(problem);
  }
  const cause = new Error(problems.join('\n'));
  throw new Error(await explain(user, initdb, data), { cause });
}

/** The owner of the cluster that is there, so that all of it stays this user's; else the first of two users that machines have. */
async function chooseUser(cluster: { uid: number } | undefined): Promise<User> {
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => {
    const [name = '', , uid, gid] = line.split(':');
    return { name, uid: Number(uid), gid: Number(gid) };
  });
  // PostgreSQL does not run as a user without a name: the data may be from another machine or a container.
  const owner = users.find(({ uid }) => uid === cluster?.uid && uid !== 0);
  if (owner) return owner;
  const user = ['postgres', 'nobody'].flatMap((name) => users.find((each) => each.name === name) ?? [])[0];
  if (user) return user;
  throw new Error(
    'PostgreSQL does not run as root, and there is no user "postgres" or "nobody" to run it as. ' +
      'Run Caudal as an ordinary user, or set DATABASE_URL to a server.',
  );
}

/** With no right beyond the user's own, where the folders above the programs and the data let everybody pass. */
function plain({ uid, gid }: User, data: string): AsServer {
  return (command, args) => [command, args, { cwd: data, uid, gid }];
}

/**
 * With one right of root's: to pass folders that are closed to others, such as root's home above the checkout. access(2)
 * heeds a capability of an ordinary user only under no_setuid_fixup, and initdb finds its programs by access(2).
 */
function withCapability({ uid, gid }: User, data: string): AsServer {
  const rights = [
    '--securebits=+no_setuid_fixup',
    '--inh-caps=-all,+dac_override',
    '--ambient-caps=-all,+dac_override',
    '--bounding-set=-all,+dac_override',
  ];
  const options = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', ...rights];
  return (command, args) => ['setpriv', [...options, command, ...args], { cwd: data }];
}

/** Why the programs or the data can't be reached; undefined if they can. */
async function problemOf(as: AsServer, initdb: string, data: string): Promise<string | undefined> {
  try {
    // It checks that all of its programs and files are there, and makes nothing.
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
  if (!closed) return `${begin} be used here (to change the user is forbidden to root in some containers): ${others}`;
  const open = `open it ("chmod a+x ${closed}")`;
  return `${begin} enter ${closed}: ${open}, install setpriv (Debian has it in util-linux), ${others}`;
}

/** The uppermost folder above one of the paths that the user may not pass. */
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

/** The user as which root runs PostgreSQL on existing data, also of earlier versions and other users. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { statusOf } from '../../../test/newcomer/npm.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts';

/** Whether other users can enter a folder. */
function isOpen(folder: string): boolean {
  return (statSync(folder).mode & 0o001) !== 0 && (folder === dirname(folder) || isOpen(dirname(folder)));
}

const asRoot = process.platform === 'linux' && process.getuid?.() === 0 ? describe : describe.skip;

asRoot('data that root starts PostgreSQL on (needs root)', () => {
  let base: string;
  let running: EmbeddedPostgres | undefined;
  const data = () => join(base, 'postgres');
  beforeAll(async () => {
    // mkdtemp makes it accessible to its owner only, as earlier versions made .caudal.
    base = mkdtempSync(join(tmpdir(), 'caudal-server-user-'));
    await (await startEmbeddedPostgres(base)).stop();
  }, 60_000);
  afterAll(async () => {
    await running?.stop();
    rmSync(base, { recursive: true, force: true });
  });

  /** Starts the server, writes and reads, and stops it. Returns the server's user and capabilities. */
  async function use(): Promise<{ uid: string | undefined; rights: string | undefined }> {
    running = await startEmbeddedPostgres(base);
    const pid = Number(readFileSync(join(data(), 'postmaster.pid'), 'utf8').split('\n')[0]);
    const found = { uid: statusOf(pid, 'Uid')?.split('\t')[0], rights: statusOf(pid, 'CapEff') };
    const client = new pg.Client({ connectionString: running.url });
    await client.connect();
    await client.query('CREATE TABLE IF NOT EXISTS uses (at timestamptz DEFAULT now())');
    await client.query('INSERT INTO uses DEFAULT VALUES');
    await client.query('CHECKPOINT');
    await client.end();
    await running.stop();
    running = undefined;
    return found;
  }

  const dacOverride = '0000000000000002';
  const none = '0000000000000000';
  /** In a checkout that others can't enter, the server's programs too are reachable only with that right. */
  const least = isOpen(import.meta.dirname) ? none : dacOverride;

  test("in a closed folder: the server keeps its user, and has one of root's rights", async () => {
    const { uid } = statSync(data());
    expect(uid).not.toBe(0);
    expect(await use()).toEqual({ uid: String(uid), rights: dacOverride });
  }, 60_000);

  test("in an open folder: the server has none of root's rights, except the one that reaching its programs needs", async () => {
    chmodSync(base, 0o711);
    expect(await use()).toEqual({ uid: String(statSync(data()).uid), rights: least });
    for (const file of ['postgres.password', 'postgres.log']) expect(statSync(join(base, file)).mode & 0o077).toBe(0);
    // Other processes of the server's user can't read it.
    expect(statSync(join(base, 'postgres.password')).uid).toBe(0);
    expect(readdirSync(base)).not.toContain('postgres.password.initdb');
  }, 60_000);

  // A user that exists on every machine, and that root would not choose.
  const daemon = Number(/^daemon:[^:]*:(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8'))?.[1]);

  test('whose folder has another owner than its files, as an earlier version left it', async () => {
    chownSync(data(), daemon, daemon);
    for (let time = 0; time < 2; time++) {
      expect(await use()).toEqual({ uid: String(daemon), rights: dacOverride });
      // No other process of that user finds a server that can write every file.
      expect(statSync(base).mode & 0o007).toBe(0);
    }
  }, 60_000);

  test('that another user has made: the server runs as that user', async () => {
    spawnSync('chown', ['-R', `${daemon}:${daemon}`, data()]);
    chmodSync(base, 0o711);
    expect(await use()).toEqual({ uid: String(daemon), rights: least });
  }, 60_000);

  test.each([
    ['that root has copied', 0],
    ['of a user that this machine does not know', 65_532],
  ])(
    '%s: its owner becomes a user that can run PostgreSQL',
    async (_, from) => {
      spawnSync('chown', ['-R', `${from}:${from}`, data()]);
      const { uid, rights } = await use();
      expect(['0', '65532']).not.toContain(uid);
      expect(rights).toBe(dacOverride);
    },
    60_000,
  );
});

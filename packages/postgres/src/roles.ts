/** The application's role, which may do less than the one that owns the tables: docs/database-roles.md. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { unavailable } from '@caudal/kernel/errors.ts';
import { Client } from 'pg';
import { clientConfig } from './connection.ts';
import type { Statement } from './database.ts';
import { asCallersError, sqlState } from './errors.ts';

/** The user that a URL of PostgreSQL names. Throws an Error if it names none. */
export function roleOf(url: string): string {
  const role = decodeURIComponent(new URL(url).username);
  if (role) return role;
  throw new Error(
    'DATABASE_URL names no user: write postgres://USER:PASSWORD@HOST/DATABASE, since that user gets the grants.',
  );
}

/** As PostgreSQL stores it, so that the password itself is in no statement, and in no log of the server. */
function scramVerifier(password: string): string {
  const salt = randomBytes(16);
  const iterations = 4_096;
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const keyOf = (what: string) => createHmac('sha256', salted).update(what).digest();
  const stored = createHash('sha256').update(keyOf('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${stored}:${keyOf('Server Key').toString('base64')}`;
}

async function onServer<T>(url: string, schema: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(clientConfig({ url, schema, applicationName: 'caudal-migrate', lockTimeoutMs: 60_000 }));
  client.on('error', () => {});
  await client.connect().catch((error: unknown) => {
    throw unavailable('PostgreSQL', error);
  });
  try {
    return await work(client);
  } catch (error) {
    throw asCallersError(error);
  } finally {
    await client.end().catch(() => {});
  }
}

interface Role {
  me: boolean;
  strong: boolean;
  member: boolean;
}

/**
 * Makes the role that `url` names with its password, unless it is there. Returns its name. Throws an Error if the owner may not make
 * it, or if it is one that may do what the owner may.
 */
export function ensureApplicationRole({ ownerUrl, url }: { ownerUrl: string; url: string }): Promise<string> {
  const role = roleOf(url);
  return onServer(ownerUrl, 'pg_catalog', async (client) => {
    const { rows } = await client.query<Role>(
      `SELECT rolname = current_user AS me, rolsuper OR rolcreaterole OR rolreplication AS strong,
          pg_has_role(oid, (SELECT o.oid FROM pg_roles o WHERE o.rolname = current_user), 'MEMBER') AS member
        FROM pg_roles WHERE rolname = $1`,
      [role],
    );
    const [found] = rows;
    if (found?.me)
      throw new Error(
        `DATABASE_URL and CAUDAL_OWNER_DATABASE_URL name the same user, ${role}: give the processes one of their own.`,
      );
    if (found?.strong || found?.member)
      throw new Error(
        `${role} may do what the owner of the tables may: name a user in DATABASE_URL that is no superuser, can't make roles or replicate, and is no member of the owner.`,
      );
    if (!found) await makeRole(client, role, decodeURIComponent(new URL(url).password));
    return role;
  });
}

async function makeRole(client: Client, role: string, password: string): Promise<void> {
  const verifier = password ? ` PASSWORD ${client.escapeLiteral(scramVerifier(password))}` : '';
  try {
    await client.query(`CREATE ROLE ${client.escapeIdentifier(role)} LOGIN${verifier}`);
  } catch (error) {
    // Another process was faster.
    if (sqlState(error) === '42710' || sqlState(error) === '23505') return;
    if (sqlState(error) !== '42501') throw error;
    throw new Error(
      `There is no role ${role}, and the owner may not make one. Have an administrator run: CREATE ROLE ${client.escapeIdentifier(role)} LOGIN PASSWORD '...'`,
    );
  }
}

/**
 * Grants what applications need in a schema, by the schema's own function grant_application(): to this role, and anew to those that
 * were granted it before. To be run at the end of migrations. Fails if a role then may do more than that.
 */
export const grantStatement = (role: string | undefined): Statement => ({
  text: 'SELECT grant_application(app) FROM (SELECT applications() AS app UNION SELECT $1::name WHERE $1 IS NOT NULL) a',
  values: [role ?? null],
});

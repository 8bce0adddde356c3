/** What else a role may do, and who is refused for it: docs/database-roles.md. */
import { newId } from '@caudal/kernel/ids.ts';
import { sqlState } from '@caudal/postgres/errors.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Client } from 'pg';
import { contexts } from './contexts.ts';
import { checkRights } from './database-rights.ts';
import { migratorOf } from './database-urls.ts';
import { awaitMigrated } from './schema.ts';
import { freshRoles } from './testing/two-roles.ts';

const denied = '42501';

describeWith(['postgres'], 'rights in the database', () => {
  let roles: Awaited<ReturnType<typeof freshRoles>>;
  let owner: Client;
  let appUrl: string;
  let role: string;
  let one: typeof roles.one;
  let databaseOf: typeof roles.databaseOf;
  beforeAll(async () => {
    roles = await freshRoles();
    ({ owner, appUrl, role, one, databaseOf } = roles);
  }, 120_000);
  afterAll(() => roles?.drop());

  test('keys of persons are made, wrapped anew, and destroyed by an erasure that the log has, and in no other way', async () => {
    const database = databaseOf('customers');
    const call = (text: string) =>
      database.query<{ done: unknown }>({ text }).then(
        ([row]) => row?.done,
        (error: unknown) => sqlState(error),
      );
    const row = async (person: string) => {
      const { rows } = await owner.query(
        `SELECT encode(wrapped, 'hex') AS wrapped, wrapped_by FROM customers.person_keys WHERE person = '${person}'`,
      );
      return rows[0];
    };
    const make = (keys: string) =>
      call(`SELECT count(*)::int AS done FROM make_person_keys('{ada,bob}', ${keys}, 'k1')`);
    expect(await make(`ARRAY['\\x01', '\\x02']::bytea[]`)).toBe(2);
    const before = await row('ada');
    await make(`ARRAY['\\x03', '\\x03']::bytea[]`);
    expect(await row('ada')).toEqual(before);
    // None without a key, which would look like one that was destroyed.
    expect(await call(`SELECT make_person_keys('{eve}', ARRAY[NULL]::bytea[], 'k1')`)).toBe('23514');
    const rewrap = (former: string, key: string) =>
      call(`SELECT rewrap_person_keys('{ada}', ARRAY['${former}']::bytea[], ARRAY[${key}]::bytea[], 'k2')`);
    await rewrap('\\x09', `'\\x04'`);
    expect(await row('ada')).toEqual(before);
    expect(await rewrap(`\\x${before.wrapped}`, 'NULL')).toBe('23514');
    await rewrap(`\\x${before.wrapped}`, `'\\x04'`);
    expect(await row('ada')).toEqual({ wrapped: '04', wrapped_by: 'k2' });
    // Of somebody whom no event has erased.
    const destroy = (stream: string) => call(`SELECT destroy_person_key('${stream}') AS done`);
    for (const stream of ['customers.customer/ada', 'ada', '']) expect(await destroy(stream)).toBe(false);
    expect(await call(`SELECT end_person_key('ada')`)).toBe(denied);
    expect(await row('ada')).toEqual({ wrapped: '04', wrapped_by: 'k2' });
    await owner.query(`SET search_path TO customers`);
    await owner.query(
      `INSERT INTO events SELECT 2, log_clock(), 2, 1, '${newId()}'::uuid, 'customers.customer/ada', 'customers.customer.erased.v1', '', ''`,
    );
    expect(await row('ada')).toEqual({ wrapped: null, wrapped_by: 'k2' });
    await rewrap('\\x04', `'\\x04'`);
    await make(`ARRAY['\\x03', '\\x03']::bytea[]`);
    expect((await row('ada')).wrapped).toBeNull();
    // A backup brings it back.
    await owner.query(`UPDATE customers.person_keys SET wrapped = '\\x01', erased_at = NULL WHERE person = 'ada'`);
    expect(await destroy('customers.customer/ada')).toBe(true);
    expect((await row('ada')).wrapped).toBeNull();
  });

  test('a role that may read the audit log may not add to it after the next migration either', async () => {
    const auditor = `auditor_${newId().replaceAll('-', '')}`;
    await owner.query(`CREATE ROLE ${auditor}; GRANT USAGE ON SCHEMA caudal_audit TO ${auditor}`);
    try {
      // Also more than an application may: it is none, so the migration has no say in it.
      await owner.query(`GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA caudal_audit TO ${auditor}`);
      await roles.migrateFor(appUrl);
      for (const call of ['add(text[], boolean)', 'make_months()', 'drop_expired()'])
        for (const [name, may] of Object.entries({ [auditor]: false, [role]: true }))
          expect(await one(`SELECT has_function_privilege('${name}', 'caudal_audit.${call}', 'EXECUTE') AS one`)).toBe(
            may,
          );
    } finally {
      await owner.query(`DROP OWNED BY ${auditor}; DROP ROLE ${auditor}`);
    }
  }, 60_000);

  test('a role that may do more is refused, with the reason', async () => {
    const other = `strong_${newId().replaceAll('-', '')}`;
    const url = new URL(appUrl);
    url.username = other;
    const migrateFor = () => roles.migrateFor(url.href);
    await owner.query(`CREATE ROLE ${other} LOGIN PASSWORD 'x' CREATEROLE`);
    try {
      await expect(migrateFor()).rejects.toThrow('may do what the owner of the tables may');
      await owner.query(`ALTER ROLE ${other} NOCREATEROLE; GRANT pg_write_all_data TO ${other}`);
      await expect(migrateFor()).rejects.toThrow('it is a member of pg_write_all_data');
      await owner.query(`REVOKE pg_write_all_data FROM ${other}`);
      // A column of one partition is enough.
      await owner.query(`SELECT set_config('search_path', 'catalog', false)`);
      const partition = await one<string>(`SELECT 'events_' || month_suffix(month_of(log_clock())) AS one`);
      await owner.query(`GRANT UPDATE (data) ON catalog.${partition} TO ${other}`);
      await expect(migrateFor()).rejects.toThrow(`it may do more with catalog.${partition} than read it`);
      await owner.query(`REVOKE UPDATE (data) ON catalog.${partition} FROM ${other}`);
      const month = await one<string>(
        `SELECT relname AS one FROM pg_class WHERE relnamespace = 'caudal_audit'::regnamespace AND relispartition AND relkind = 'r' LIMIT 1`,
      );
      await owner.query(`GRANT UPDATE (body) ON caudal_audit.${month} TO ${other}`);
      await expect(migrateFor()).rejects.toThrow(`it may do more with caudal_audit.${month} than read it`);
    } finally {
      await owner.query(`DROP OWNED BY ${other}; DROP ROLE ${other}`);
    }
    await expect(migratorOf({ url: roles.ownerUrl, ownerUrl: roles.ownerUrl })).rejects.toThrow('the same user');
  }, 60_000);

  test('a process refuses to start with a role that has got more, in whichever schema, unless there is only one role', async () => {
    const check = (more = {}) =>
      checkRights(
        { DATABASE_URL: appUrl, CAUDAL_OWNER_DATABASE_URL: undefined, ...more },
        contexts.map((context) => ({ context, database: databaseOf(context.name) })),
      );
    await check();
    await check({ CAUDAL_OWNER_DATABASE_URL: roles.ownerUrl });
    for (const { name } of contexts) {
      await owner.query(`GRANT UPDATE (data) ON ${name}.events TO ${role}`);
      await expect(check()).rejects.toThrow(
        `DATABASE_URL: its user may do more than an application may: it may do more with ${name}.events than read it`,
      );
      await owner.query(`REVOKE UPDATE (data) ON ${name}.events FROM ${role}`);
    }
    await owner.query(`GRANT DELETE ON caudal_audit.records TO ${role}`);
    await expect(check()).rejects.toThrow('it may do more with caudal_audit.records than read it');
    await owner.query(`REVOKE DELETE ON caudal_audit.records FROM ${role}`);
    await check();
    // The owner itself: that is the one role of an installation, unless the settings name two.
    const locals = [{ context: { name: 'orders' }, database: databaseOf('orders', roles.ownerUrl) }];
    const values = { DATABASE_URL: roles.ownerUrl, CAUDAL_OWNER_DATABASE_URL: undefined };
    await checkRights(values, locals);
    await checkRights({ ...values, CAUDAL_OWNER_DATABASE_URL: roles.ownerUrl }, locals);
    await expect(checkRights({ ...values, CAUDAL_OWNER_DATABASE_URL: appUrl }, locals)).rejects.toThrow(
      'its user may do more',
    );
  }, 60_000);

  test('a month of traces that has left and is not dropped yet stops no start and no migration', async () => {
    const database = databaseOf('tracking');
    await database.query({ text: "SELECT make_trace_partitions('{2019-03-01}')" });
    await owner.query(`ALTER TABLE tracking.traces DETACH PARTITION tracking.traces_2019_03;
      ALTER TABLE tracking.traces_2019_03 RENAME TO traces_2019_03_part_12`);
    try {
      await checkRights({ DATABASE_URL: appUrl, CAUDAL_OWNER_DATABASE_URL: undefined }, [
        { context: { name: 'tracking' }, database },
      ]);
      await roles.migrateFor(appUrl);
    } finally {
      await owner.query('DROP TABLE tracking.traces_2019_03_part_12');
    }
  }, 60_000);

  test('a role that was granted nothing is told what to do', async () => {
    const bare = `bare_${newId().replaceAll('-', '')}`;
    const url = new URL(appUrl);
    url.username = bare;
    url.password = 'x';
    await owner.query(`CREATE ROLE ${bare} LOGIN PASSWORD 'x'`);
    try {
      await expect(
        awaitMigrated({ url: url.href, contexts, waitMs: 0, signal: new AbortController().signal }),
      ).rejects.toThrow(/DATABASE_URL: its user lacks rights .* Run "caudal migrate" .* CAUDAL_OWNER_DATABASE_URL/);
    } finally {
      await owner.query(`DROP ROLE ${bare}`);
    }
  });
});

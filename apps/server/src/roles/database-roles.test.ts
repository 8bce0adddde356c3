/** What the application's role may do in the database: docs/database-roles.md. */
import { beginEpoch } from '@caudal/eventlog/epochs.ts';
import { maintainLog } from '@caudal/eventlog/maintenance.ts';
import { excessRights } from '@caudal/eventlog/owner.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { sqlState } from '@caudal/postgres/errors.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Client } from 'pg';
import { contexts } from '../contexts.ts';
import { awaitMigrated } from '../schema.ts';
import { freshRoles } from '../testing/two-roles.ts';
import { onOwnersDatabase } from './as-owner.ts';

const denied = '42501';
/** What is there to be changed. Everything else in a schema is a fact, or says what was migrated. */
const changeable = [
  ...[
    'checkpoints',
    'followers',
    'handler_cursors',
    'jobs',
    'members',
    'parked_streams',
    'snapshots',
    'stream_owners',
    'timers',
  ],
];
/** Tables that a context has beside its log. */
const own: Record<string, { changeable: string[]; definers: string[] }> = {
  carts: { changeable: ['cart_commands', 'carts'], definers: [] },
  tracking: {
    changeable: [
      ...[
        'carrier_polls',
        'parcel_changes',
        'parcel_links',
        'parcel_places',
        'parcel_places_filled',
        'parcels',
        'trace_inbox',
      ],
      'transit_sketches',
    ],
    definers: ['make_trace_partitions', 'make_trace_partitions'],
  },
};
const definers = [
  ...[
    'append',
    'begin_epoch',
    'destroy_person_key',
    'drop_expired_claims',
    'drop_former_commands',
    'drop_view_table',
    'end_former_version',
  ],
  ...['make_partitions', 'make_person_keys', 'make_view_table', 'rewrap_person_keys'],
];

describeWith(['postgres'], "the application's role", () => {
  let roles: Awaited<ReturnType<typeof freshRoles>>;
  let owner: Client;
  let app: Client;
  let appUrl: string;
  let role: string;
  let stateOf: typeof roles.stateOf;
  let one: typeof roles.one;
  let databaseOf: typeof roles.databaseOf;
  beforeAll(async () => {
    roles = await freshRoles();
    ({ owner, app, appUrl, role, stateOf, one, databaseOf } = roles);
  }, 120_000);
  afterAll(() => roles?.drop());

  test('migrating again grants nothing twice; the processes then find all that they need', async () => {
    const acls = async () =>
      (await owner.query('SELECT oid, relacl::text FROM pg_class WHERE relacl IS NOT NULL ORDER BY oid')).rows;
    const before = await acls();
    await roles.migrateFor(appUrl);
    expect(await acls()).toEqual(before);
    await awaitMigrated({ url: appUrl, contexts, waitMs: 0, signal: new AbortController().signal });
    expect(await excessRights(databaseOf('orders'))).toBeUndefined();
  }, 60_000);

  describe.each(contexts.map(({ name }) => name))('in the schema %s', (schema) => {
    beforeAll(async () => {
      // Something that could be changed: without a row, some statements would find nothing to refuse.
      await owner.query(`SET search_path TO ${schema}`);
      await owner.query(`INSERT INTO months VALUES (month_of(log_clock()), 0)`);
      await owner.query(`INSERT INTO stream_months VALUES ('${schema}.thing/1', month_of(log_clock()), 0)`);
      await owner.query(
        `INSERT INTO events SELECT 1, log_clock(), 1, 1, '${newId()}'::uuid, '${schema}.thing/1', 'thing', '', ''`,
      );
    });

    const changeableHere = [...changeable, ...(own[schema]?.changeable ?? [])].sort();

    /** Every table, with partitions, that is not there to be changed. */
    const facts = async () => {
      const { rows } = await owner.query<{ name: string; column: string }>(
        `SELECT c.relname AS name, a.attname AS column FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = 1
          WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relname = ANY ($2)
          AND c.relname !~ '^traces' ORDER BY 1`,
        [schema, changeableHere],
      );
      return rows.map(({ name, column }) => ({ table: `${schema}.${name}`, column }));
    };

    test('the tables that are no facts are those of the list', async () => {
      const { rows } = await owner.query<{ name: string }>(
        `SELECT c.relname AS name FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p')
          AND has_table_privilege($2, c.oid, 'UPDATE, DELETE, INSERT') AND c.relname !~ '^traces' ORDER BY 1`,
        [schema, role],
      );
      expect(rows.map(({ name }) => name)).toEqual(changeableHere);
    });

    test('no event and no fact beside it can be added, changed, deleted or moved, by any statement', async () => {
      const all = await facts();
      const names = all.map(({ table }) => table.slice(schema.length + 1));
      expect(names).toEqual(
        expect.arrayContaining(['events', 'months', 'stream_months', 'epochs', 'claims', 'migrations']),
      );
      expect(names.filter((name) => /^(events|claims)_\d/.test(name)).length).toBeGreaterThan(8);
      for (const { table, column } of all) {
        expect([table, await stateOf(`SELECT * FROM ${table} LIMIT 1`)]).toEqual([table, undefined]);
        for (const statement of [
          `INSERT INTO ${table} SELECT * FROM ${table}`,
          `UPDATE ${table} SET ${column} = ${column}`,
          `DELETE FROM ${table}`,
          `DELETE FROM ONLY ${table} WHERE false`,
          `MERGE INTO ${table} t USING ${table} s ON true WHEN MATCHED THEN DELETE`,
          `COPY ${table} FROM STDIN`,
          `TRUNCATE ${table}`,
          `DROP TABLE ${table}`,
          `ALTER TABLE ${table} ADD COLUMN more int`,
          `ALTER TABLE ${table} DISABLE TRIGGER ALL`,
          `ALTER TABLE ${table} DISABLE TRIGGER USER`,
          `ALTER TABLE ${table} RENAME TO other`,
          `ALTER TABLE ${table} OWNER TO ${role}`,
          `CREATE TRIGGER mine BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`,
          `CREATE RULE mine AS ON INSERT TO ${table} DO INSTEAD NOTHING`,
          `CREATE INDEX ON ${table} (${column})`,
          `SELECT * FROM ${table} FOR UPDATE`,
          `DO $$ BEGIN LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE; END $$`,
        ])
          expect([statement, await stateOf(statement)]).toEqual([statement, denied]);
        // What may not be granted is a warning, and nothing is granted.
        await app.query(`GRANT ALL ON ${table} TO PUBLIC`);
        expect(await one(`SELECT has_table_privilege('public', '${table}', 'SELECT, UPDATE') AS one`)).toBe(false);
      }
      expect(await one(`SELECT count(*)::int AS one FROM ${schema}.events`)).toBe(1);
    }, 60_000);

    test('nothing can be made in the schema, and no function replaced', async () => {
      for (const statement of [
        `CREATE TABLE ${schema}.mine (id int)`,
        `CREATE VIEW ${schema}.mine AS SELECT 1`,
        `CREATE FUNCTION ${schema}.month_suffix(text) RETURNS text LANGUAGE sql AS 'SELECT $$mine$$'`,
        `CREATE OR REPLACE FUNCTION ${schema}.month_suffix(month date) RETURNS text LANGUAGE sql AS 'SELECT $$mine$$'`,
        `ALTER FUNCTION ${schema}.make_partitions(int) SECURITY INVOKER`,
        `DROP FUNCTION ${schema}.log_epoch()`,
        `DROP SCHEMA ${schema} CASCADE`,
        `ALTER SCHEMA ${schema} RENAME TO other`,
      ])
        expect([statement, await stateOf(statement)]).toEqual([statement, denied]);
    });

    test('functions with the rights of the owner do only what they are for', async () => {
      const database = databaseOf(schema);
      const call = (text: string) =>
        database.query({ text }).then(
          () => undefined,
          (error: unknown) => sqlState(error),
        );
      const { rows } = await owner.query<{ name: string; config: string[] }>(
        `SELECT proname AS name, proconfig AS config FROM pg_proc WHERE pronamespace = $1::regnamespace AND prosecdef ORDER BY 1`,
        [schema],
      );
      expect(rows.map(({ name }) => name)).toEqual([...definers, ...(own[schema]?.definers ?? [])].sort());
      for (const { config } of rows) expect(config).toContain(`search_path=${schema}, pg_temp`);
      const { rows: open } = await owner.query(
        `SELECT p.oid::regprocedure::text FROM pg_proc p
          CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
          WHERE p.prosecdef AND a.grantee = 0 AND p.pronamespace IN ($1::regnamespace, 'caudal_audit'::regnamespace)`,
        [schema],
      );
      expect(open).toEqual([]);
      for (const table of ['events', 'claims', 'checkpoints', 'events_2020_01', 'x.y"; DROP TABLE events; --', ''])
        for (const use of [`drop_view_table('${table}')`, `make_view_table('${table}', '[]', '[]')`])
          expect([use, await call(`SELECT ${use}`)]).toEqual([use, '42602']);
      expect(
        await call(`SELECT make_view_table('a.v1.1', '[{"name": "k", "type": "text; DROP TABLE events"}]', '[]')`),
      ).toBe('22023');
      expect(await call('SELECT make_partitions(1000000)')).toBeUndefined();
      expect((await facts()).filter(({ table }) => table.includes('.events_')).length).toBeLessThanOrEqual(26);
      expect(await call('SELECT drop_expired_claims()')).toBeUndefined();
      expect(await call('SELECT end_former_version()')).toBeUndefined();
      expect(await call('SELECT begin_epoch()')).toBeUndefined();
      // With arguments they could call events lost, or shut out processes of the version before.
      expect(await call('SELECT begin_epoch(true, 0)')).toBe(denied);
      expect(await call('SELECT note_epoch(0)')).toBe(denied);
      await expect(beginEpoch(database, { anyway: true, after: 1 })).rejects.toMatchObject({ code: denied });
      expect(await one(`SELECT count(*)::int AS one FROM ${schema}.epochs`)).toBe(1);
      expect(await call("SELECT make_archived_functions('2020-01-01')")).toBe(denied);
      expect(await call("SELECT make_month_functions('2020_01')")).toBe(denied);
    }, 60_000);
  });

  test('traces can be added, and neither changed nor deleted', async () => {
    const { rows } = await owner.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'tracking'::regnamespace AND relkind IN ('r', 'p') AND relname ~ '^traces'`,
    );
    expect(rows.length).toBeGreaterThan(4);
    for (const { name } of rows) {
      expect(await stateOf(`INSERT INTO tracking.${name} SELECT * FROM tracking.${name}`)).toBeUndefined();
      for (const statement of [
        `UPDATE tracking.${name} SET body = ''`,
        `DELETE FROM tracking.${name}`,
        `TRUNCATE tracking.${name}`,
      ])
        expect([statement, await stateOf(statement)]).toEqual([statement, denied]);
    }
    const make = (month: string) =>
      databaseOf('tracking').query({ text: `SELECT make_trace_partitions('{${month}}')` });
    await make('2019-03-01');
    await make('1970-01-01');
    await make('2500-01-01');
    expect(await one(`SELECT to_regclass('tracking.traces_2019_03') IS NOT NULL AS one`)).toBe(true);
    expect(await one(`SELECT to_regclass('tracking.traces_1970_01') IS NULL AS one`)).toBe(true);
    expect(await one(`SELECT to_regclass('tracking.traces_2500_01') IS NULL AS one`)).toBe(true);
  });

  test('views are made, filled and dropped without the right to make tables', async () => {
    const database = databaseOf('orders');
    const keys = JSON.stringify([
      { name: 'k_customer', type: 'text COLLATE "C"' },
      { name: 'words', type: 'tsvector' },
    ]);
    const indexes = JSON.stringify([
      { kind: 'ordered', columns: ['k_customer'] },
      { kind: 'words', columns: ['words'] },
    ]);
    const make = () =>
      database.query({ text: 'SELECT make_view_table($1, $2, $3)', values: ['a-view.v1.1', keys, indexes] });
    await Promise.all([make(), make()]);
    await database.query({ text: `INSERT INTO "a-view.v1.1" VALUES ('x', 1, '{}', false, '{}', 'ada', NULL)` });
    await database.query({ text: `UPDATE "a-view.v1.1" SET rev = 2` });
    expect(
      await one(`SELECT count(*)::int AS one FROM pg_index WHERE indrelid = 'orders."a-view.v1.1"'::regclass`),
    ).toBe(3);
    await database.query({ text: "SELECT drop_view_table('a-view.v1.1')" });
    expect(await one(`SELECT to_regclass('orders."a-view.v1.1"') IS NULL AS one`)).toBe(true);
  });

  test('maintenance of a log makes partitions and drops expired claims, with the right of neither', async () => {
    const database = databaseOf('shipping');
    const maintain = () =>
      maintainLog({
        database,
        plain: { url: appUrl, schema: 'shipping' },
        domain: 'shipping',
        signal: new AbortController().signal,
      });
    const partitions = async () => {
      const { rows } = await owner.query<{ name: string }>(
        `SELECT relname AS name FROM pg_class WHERE relnamespace = 'shipping'::regnamespace AND relkind = 'r'
          AND relname ~ '^(events|claims)_' ORDER BY 1`,
      );
      return rows.map(({ name }) => name);
    };
    const before = await partitions();
    await owner.query(`SELECT set_config('search_path', 'shipping', false)`);
    await owner.query(`CREATE OR REPLACE FUNCTION log_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
      SELECT date_trunc('milliseconds', clock_timestamp() + interval '200 days') $$`);
    await maintain();
    expect((await partitions()).length).toBeGreaterThan(before.length);
    // The log's own time, too, must be that late.
    await owner.query(`INSERT INTO months VALUES (month_of(log_clock()), 1) ON CONFLICT DO NOTHING`);
    await owner.query(
      `INSERT INTO events SELECT 2, log_clock(), 2, 1, '${newId()}'::uuid, 'shipping.thing/1', 'thing', '', ''`,
    );
    await maintain();
    const claims = before.filter((name) => name.startsWith('claims_'));
    const after = await partitions();
    expect(claims.filter((name) => after.includes(name))).toEqual([]);
    // What was made with the owner's rights can be read, and not changed.
    const [newest] = after.filter((name) => name.startsWith('events_')).toReversed();
    expect(await stateOf(`SELECT * FROM shipping.${newest}`)).toBeUndefined();
    expect(await stateOf(`INSERT INTO shipping.${newest} SELECT * FROM shipping.${newest}`)).toBe(denied);
  }, 60_000);

  test('what needs the owner works with its URL, and names the setting without it', async () => {
    const context = contexts.find(({ name }) => name === 'orders')!;
    const local = { context, database: databaseOf('orders') };
    const who = (database: Database) => database.query<{ owns: string }>({ text: 'SELECT current_user AS owns' });
    await expect(onOwnersDatabase({ ...local, ownerUrl: undefined }, who)).rejects.toThrow(
      'set CAUDAL_OWNER_DATABASE_URL',
    );
    const [row] = await onOwnersDatabase({ ...local, ownerUrl: roles.ownerUrl }, who);
    expect(row!.owns).toBe(await one('SELECT current_user AS one'));
  });

  test('nothing of the session or the server gives it more', async () => {
    const user = await one<string>('SELECT current_user AS one');
    for (const statement of [
      `SET ROLE ${user}`,
      `SET SESSION AUTHORIZATION ${user}`,
      'SET session_replication_role = replica',
      `ALTER ROLE ${role} SUPERUSER`,
      `ALTER ROLE ${role} CREATEROLE`,
      `GRANT ${user} TO ${role}`,
      'CREATE ROLE another',
      "COPY (SELECT 1) TO '/tmp/x'",
      "SELECT pg_read_file('postgresql.conf')",
      "SELECT lo_import('/etc/passwd')",
    ])
      expect([statement, await stateOf(statement)]).toEqual([statement, denied]);
  });

  test('the audit log can be read, and added to by its function, and nothing else', async () => {
    await app.query(`SELECT caudal_audit.add(ARRAY['{"kind": "ACT", "time": "2026-01-01T00:00:00Z"}'], true)`);
    for (const table of ['records', 'dropped', 'retention', 'migrations'])
      for (const statement of [
        `INSERT INTO caudal_audit.${table} SELECT * FROM caudal_audit.${table}`,
        `DELETE FROM caudal_audit.${table}`,
        `TRUNCATE caudal_audit.${table}`,
        `DROP TABLE caudal_audit.${table}`,
        `ALTER TABLE caudal_audit.${table} DISABLE TRIGGER ALL`,
      ])
        expect([statement, await stateOf(statement)]).toEqual([statement, denied]);
    expect(await stateOf('UPDATE caudal_audit.records SET body = body')).toBe(denied);
    expect(await stateOf('UPDATE caudal_audit.retention SET months = 1')).toBe(denied);
    expect(await stateOf('CREATE TABLE caudal_audit.mine (id int)')).toBe(denied);
    expect(await stateOf('SELECT caudal_audit.drop_expired()')).toBeUndefined();
    expect((await app.query('SELECT count(*)::int AS n FROM caudal_audit.records')).rows[0].n).toBe(1);
  });
});

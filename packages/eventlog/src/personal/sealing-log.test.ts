import { createCipheriv, randomBytes } from 'node:crypto';
import { useContract } from '@caudal/contract/descriptors.ts';
import { customer, type EventOf } from '@caudal/contract/entities.ts';
import { Customer } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { personalEvents } from '@caudal/contract/personal.ts';
import { giftBytes, giftContract, giftOf } from '@caudal/contract/testing/gifts.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { newEvent } from '../codec.ts';
import { freshLog } from '../testing/log.ts';
import type { Append, AppendResult, EventLog, NewEvent, RecordedEvent } from '../types.ts';
import { formerTexts } from './cipher.ts';
import { openPersonKeys, type PersonKeys, type PersonKeysOptions, wrappingKeysInUse } from './person-keys.ts';
import { rewrapPersonKeys } from './rewrap.ts';
import { type SealingOptions, sealingLog } from './sealing-log.ts';
import { localWrapping } from './wrapping.ts';

useContract(giftContract());

type CustomerEvent = EventOf<typeof customer>;
const wrappingKey = (id: string) => ({ id, key: randomBytes(32) });
const [first, second] = [wrappingKey('2026'), wrappingKey('2027')];
const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };
const eventOf = (event: CustomerEvent) => newEvent({ entity: customer, event, origin, now: new Date() });
const details = { displayName: 'Ada Lovelace', email: 'ada@example.org', country: 'GB' };
const updated = (more: Partial<typeof details> = {}) => eventOf({ $case: 'updated', value: { ...details, ...more } });
const gift = { receiverId: 'bob', giverName: 'Ada', receiverName: 'Bob', greeting: 'Happy birthday' };

describeWith(['postgres'], 'personal data in a log', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  /** A person of the test's own. */
  let person: string;
  let stream: string;
  let persons = 0;
  const opened: PersonKeys[] = [];
  beforeAll(async () => {
    fresh = await freshLog('customers');
  });
  afterAll(async () => {
    for (const keys of opened) keys.stop();
    await fresh.drop();
  });
  beforeEach(() => {
    person = `c${persons++}`;
    stream = customer.stream(person);
  });

  /** The log as the aggregates of another process have it. */
  function open(more: Partial<PersonKeysOptions> & Partial<SealingOptions> = {}) {
    const { log, database } = fresh;
    const wrapping = 'wrapping' in more ? more.wrapping : localWrapping([first]);
    const keys = openPersonKeys({ ...more, database, wrapping });
    opened.push(keys);
    return { keys, log: sealingLog(log, { keys, openFormer: formerTexts([first]), writePlain: false, ...more }) };
  }
  /** As aggregates do: again, if nothing has landed. */
  async function append(log: EventLog, wanted: Append): Promise<AppendResult> {
    const result = await log.append(wanted);
    return result.kind === 'conflict' && result.missing.length === 0 ? log.append(wanted) : result;
  }
  const add = (log: EventLog, expected: number, ...events: NewEvent[]) => append(log, { stream, expected, events });
  const read = (log: EventLog, name = stream) => log.readStreams([{ stream: name, afterVersion: 0 }]);
  const values = (events: RecordedEvent[]) => events.map((event) => customer.decode(event).value);
  const erase = (log: EventLog, expected: number) =>
    add(log, expected, eventOf({ $case: 'erased', value: { customerId: person } }));
  const keyRow = async (id = person) => {
    const text = 'SELECT *, xmin::text AS tx FROM person_keys WHERE person = $1';
    const [row] = await fresh.database.query<{ wrapped: Buffer | null; wrapped_by: string; tx: string }>({
      text,
      values: [id],
    });
    return row;
  };

  test('is sealed in the rows and for all other readers, and opened for aggregates of any process', async () => {
    const { log } = open();
    expect((await add(log, 0, updated())).kind).toBe('appended');
    const rows = await fresh.database.query<{ row: string }>({
      text: "SELECT encode(data || metadata, 'escape') AS row FROM events WHERE stream = $1",
      values: [stream],
    });
    expect(rows).toHaveLength(1);
    expect(rows[0]!.row).toMatch(/enc:v1:\*/);
    expect(rows[0]!.row).not.toMatch(/ada|lovelace|example\.org/i);
    expect(values(await read(fresh.log))).toEqual([{ ...details, displayName: '[sealed]', email: '[sealed]' }]);
    for (const other of [log, open().log]) {
      expect(values(await read(other))).toEqual([details]);
      for await (const page of other.readStream(stream)) expect(values(page)).toEqual([details]);
    }
  });

  test('of a text that looks sealed is sealed like any other', async () => {
    const { log } = open();
    for (const [version, displayName] of ['enc:v1:*abcdefgh:AAAA', 'enc:v1:2026:AAAA', 'enc:v1::x'].entries()) {
      await add(log, version, updated({ displayName }));
      expect(values(await read(open().log)).at(-1)).toMatchObject({ displayName });
    }
  });

  test('waits for the key: nothing lands before, of the stream or of what was decided on it', async () => {
    const { log } = open();
    const results = await Promise.all([
      log.append({ stream, expected: 0, events: [updated()] }),
      log.append({ stream, expected: 1, events: [updated({ displayName: 'Eve' })] }),
    ]);
    expect(results).toMatchObject([
      { kind: 'conflict', version: 0, missing: [] },
      { kind: 'conflict', version: 1, missing: [] },
    ]);
    expect(await read(log)).toEqual([]);
    const again = await Promise.all([
      log.append({ stream, expected: 0, events: [updated()] }),
      log.append({ stream, expected: 1, events: [updated({ displayName: 'Eve' })] }),
    ]);
    expect(again.map(({ kind }) => kind)).toEqual(['appended', 'appended']);
  });

  test('lands neither if its key can not be read, nor what was decided on it; a later try does', async () => {
    const { keys } = open();
    let isAway = true;
    const log = sealingLog(fresh.log, {
      keys: {
        ...keys,
        async load(ids, options) {
          if (isAway) throw unavailable('PostgreSQL');
          return keys.load(ids, options);
        },
      },
      openFormer: () => undefined,
      writePlain: false,
    });
    const both = () => [
      log.append({ stream, expected: 0, events: [updated()] }),
      log.append({ stream, expected: 1, events: [eventOf({ $case: 'erased', value: { customerId: person } })] }),
    ];
    const [failed, behind] = await Promise.allSettled(both());
    expect(failed).toMatchObject({ status: 'rejected', reason: { code: 'UNAVAILABLE' } });
    expect(behind).toMatchObject({ value: { kind: 'conflict', missing: [] } });
    isAway = false;
    await Promise.all(both());
    expect((await Promise.all(both())).map(({ kind }) => kind)).toEqual(['appended', 'appended']);
  });

  test('that is refused takes what was decided on it in the same turn with it', async () => {
    await add(open().log, 0, updated());
    const { log } = open({ wrapping: localWrapping([second]) });
    await read(log);
    const [refused, behind] = await Promise.allSettled([
      log.append({ stream, expected: 1, events: [updated()] }),
      log.append({ stream, expected: 2, events: [eventOf({ $case: 'erased', value: { customerId: person } })] }),
    ]);
    expect(refused).toMatchObject({ status: 'rejected', reason: { reason: 'PERSONAL_DATA_SEALED' } });
    expect(behind).toMatchObject({ value: { kind: 'conflict', missing: [] } });
    expect(await read(fresh.log)).toHaveLength(1);
  });

  test('has one key a person, whoever makes it first', async () => {
    const processes = Array.from({ length: 6 }, () => open());
    const both = new Set([person, `${person}-2`]);
    const made = await Promise.all(processes.map(({ keys }) => keys.load(both, { make: true })));
    for (const id of both) {
      const checks = made.map((keys) => keys.get(id) as { check: string });
      expect(new Set(checks.map(({ check }) => check)).size).toBe(1);
    }
  });

  test('is gone with the event of the erasure, in one transaction, and for every process', async () => {
    const [one, other] = [open(), open()];
    await add(one.log, 0, updated());
    expect(values(await read(other.log))).toEqual([details]);
    expect((await erase(one.log, 1)).kind).toBe('appended');
    const [event] = await fresh.database.query<{ tx: string }>({
      text: 'SELECT xmin::text AS tx FROM events WHERE stream = $1 AND version = 2',
      values: [stream],
    });
    expect(await keyRow()).toMatchObject({ wrapped: null, tx: event!.tx });
    for (const { log } of [one, other, open()])
      expect(values(await read(log))[0]).toEqual({ ...details, displayName: '[erased]', email: '[erased]' });
    // Nothing of the person is written in plain any more, and no second key is made.
    await add(one.log, 2, updated({ displayName: 'Back' }));
    expect(values(await read(one.log)).at(-1)).toMatchObject({ displayName: '[erased]' });
    expect((await keyRow())!.wrapped).toBeNull();
  });

  test('of one of many persons is erased by one write', async () => {
    const { log } = open();
    await add(log, 0, updated());
    await fresh.database.query({
      text: `INSERT INTO person_keys (person, wrapped, wrapped_by)
        SELECT 'many-' || n, '\\x00', '2026' FROM generate_series(1, 20000) n`,
    });
    await erase(log, 1);
    const [written] = await fresh.database.query<{ n: number }>({
      text: 'SELECT count(*)::int AS n FROM person_keys WHERE xmin = (SELECT xmin FROM person_keys WHERE person = $1)',
      values: [person],
    });
    expect(written!.n).toBe(1);
    await fresh.database.query({ text: "DELETE FROM person_keys WHERE person LIKE 'many-%'" });
  });

  test('stays erased if a backup brings the key back', async () => {
    const { log } = open();
    await add(log, 0, updated());
    const backup = await keyRow();
    const restore = () =>
      fresh.database.query({
        text: 'UPDATE person_keys SET wrapped = $2, wrapped_by = $3, erased_at = NULL WHERE person = $1',
        values: [person, backup!.wrapped, backup!.wrapped_by],
      });
    await erase(log, 1);
    await restore();
    expect(values(await read(open().log))[0]).toMatchObject({ displayName: '[erased]' });
    expect((await keyRow())!.wrapped).toBeNull();
    await restore();
    await fresh.database.query({ text: 'SELECT apply_erasures()' });
    expect((await keyRow())!.wrapped).toBeNull();
    await fresh.database.query({ text: 'DELETE FROM person_keys WHERE person = $1', values: [person] });
    await fresh.database.query({ text: 'SELECT apply_erasures()' });
    expect((await keyRow())!.wrapped).toBeNull();
  });

  test('of two persons in one event has two keys, and erasing one leaves the other', async () => {
    const [giver, receiver] = [person, `${person}-receiver`];
    const name = `gifts.gift/${giver}`;
    const given = { ...gift, receiverId: receiver };
    const event: NewEvent = { ...updated(), type: 'gifts.gift.given.v1', data: giftBytes(given) };
    const { log } = open();
    await append(log, { stream: name, expected: 0, events: [event] });
    expect(Buffer.from((await read(fresh.log, name))[0]!.data).toString('latin1')).not.toMatch(/Ada|Bob|birthday/);
    expect(giftOf((await read(log, name))[0]!.data)).toEqual(given);
    const end = { ...eventOf({ $case: 'erased', value: { customerId: receiver } }) };
    await append(log, { stream: customer.stream(receiver), expected: 0, events: [end] });
    for (const each of [log, open().log])
      expect(giftOf((await read(each, name))[0]!.data)).toEqual(
        // The first process has its key for as long as it keeps it, unless it has read the erasure.
        { ...given, receiverName: '[erased]', greeting: '[erased]' },
      );
  });

  test('in stored answers is sealed, opened for a repeat, and erased', async () => {
    const { log } = open();
    const reply = Customer.encode(Customer.fromPartial({ customerId: person, ...details })).finish();
    const command = { key: `00000000-0000-4000-8000-${person.slice(1).padStart(12, '0')}`, hash: Buffer.alloc(16) };
    const whole = { ...command, reply, replyType: 'caudal.customers.v1.Customer' };
    await append(log, { stream, expected: 0, events: [updated()], command: whole });
    const [claim] = await fresh.database.query<{ text: string }>({
      text: "SELECT encode(outcome, 'escape') AS text FROM claims WHERE stream = $1",
      values: [stream],
    });
    expect(claim!.text).toMatch(/enc:v1:\*/);
    expect(claim!.text).not.toMatch(/Ada|example/);
    const repeat = async (process: EventLog, events: NewEvent[]) => {
      const stored = events.length > 0 ? whole : { ...command, replyType: whole.replyType };
      const result = await append(process, { stream, expected: 0, events, command: stored });
      if (result.kind !== 'duplicate') throw new Error(result.kind);
      return Customer.decode(result.reply);
    };
    for (const process of [log, open().log])
      for (const events of [[], [updated()]]) expect(await repeat(process, events)).toMatchObject(details);
    await erase(log, 1);
    expect(await repeat(open().log, [])).toMatchObject({ displayName: '[erased]', email: '[erased]', country: 'GB' });
  });

  test('that a conflict brings is opened, or left to a read', async () => {
    const { log } = open();
    await add(log, 0, updated());
    const known = await log.append({ stream, expected: 0, events: [updated({ displayName: 'Eve' })] });
    expect(known.kind === 'conflict' && values(known.missing)).toEqual([details]);
    const empty = await open().log.append({ stream, expected: 0, events: [] });
    expect(empty).toMatchObject({ kind: 'conflict', version: 1, missing: [] });
  });

  test('of version 0.2 is read as before, beside what is sealed now, and hidden by an erasure', async () => {
    const sealFormer = (field: string, text: string) => {
      const nonce = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', first.key, nonce, { authTagLength: 16 });
      cipher.setAAD(Buffer.from(JSON.stringify([first.id, 'customers.customer', field])));
      const bytes = Buffer.concat([cipher.update(text), cipher.final()]);
      return `enc:v1:${first.id}:${Buffer.concat([nonce, cipher.getAuthTag(), bytes]).toString('base64url')}`;
    };
    const { data } = updated();
    const former = personalEvents('customers.customer')!.change(data, person, ({ field, text }) =>
      sealFormer(field, text),
    );
    await fresh.log.append({ stream, expected: 0, events: [{ ...updated(), data: former }] });
    const { log } = open();
    await add(log, 1, updated({ displayName: 'Eve' }));
    expect(values(await read(open().log))).toEqual([details, { ...details, displayName: 'Eve' }]);
    expect(values(await read(open({ openFormer: formerTexts([second]) }).log))[0]).toMatchObject({
      displayName: '[sealed]',
    });
    await erase(log, 2);
    for (const { log: each } of [{ log }, open()])
      expect(values(await read(each)).slice(0, 2)).toMatchObject([
        { displayName: '[erased]', email: '[erased]' },
        { displayName: '[erased]', email: '[erased]' },
      ]);
  });

  test('that was changed in the database is not read', async () => {
    const { log } = open();
    await add(log, 0, updated());
    const other = customer.stream(`${person}-other`);
    await append(log, { stream: other, expected: 0, events: [updated({ displayName: 'Eve' })] });
    await fresh.database.query({
      text: 'UPDATE events SET data = (SELECT data FROM events WHERE stream = $1) WHERE stream = $2',
      values: [stream, other],
    });
    // Another person's text is of another key.
    expect(values(await read(log, other))[0]).toMatchObject({ displayName: '[sealed]' });
    await fresh.database.query({
      text: 'UPDATE events SET data = set_byte(data, 60, get_byte(data, 60) # 1) WHERE stream = $1',
      values: [stream],
    });
    await expect(read(log)).rejects.toThrow(/can't be opened|changed/);
  });

  describe('without the wrapping key', () => {
    test('reads as [sealed], and is not written', async () => {
      await add(open().log, 0, updated());
      const { log } = open({ wrapping: localWrapping([second]) });
      expect(values(await read(log))).toEqual([{ ...details, displayName: '[sealed]', email: '[sealed]' }]);
      await expect(add(log, 1, updated())).rejects.toMatchObject({ reason: 'PERSONAL_DATA_SEALED' });
      const none = open({ wrapping: undefined, writePlain: true }).log;
      await expect(add(none, 1, updated())).rejects.toMatchObject({ reason: 'PERSONAL_DATA_SEALED' });
      expect(await read(fresh.log)).toHaveLength(1);
    });

    test('is refused for a new person, or written as it is where that is allowed', async () => {
      const strict = open({ wrapping: undefined }).log;
      await expect(add(strict, 0, updated())).rejects.toMatchObject({ reason: 'PERSONAL_DATA_SEALED' });
      const plain = open({ wrapping: undefined, writePlain: true }).log;
      expect((await add(plain, 0, updated())).kind).toBe('appended');
      expect(Buffer.from((await read(fresh.log))[0]!.data).toString('latin1')).toContain('Ada Lovelace');
      // Once there is a key, it is read, and what follows is sealed.
      const { log } = open();
      expect(values(await read(log))).toEqual([details]);
      await add(log, 1, updated({ displayName: 'Eve' }));
      expect(values(await read(fresh.log))).toMatchObject([
        { displayName: 'Ada Lovelace' },
        { displayName: '[sealed]' },
      ]);
    });
  });

  describe('keys in memory', () => {
    test('are bounded in number and time, and dropped without being asked for', async () => {
      let now = 0;
      const { keys } = open({ most: 3, keepMs: 1_000, elapsed: () => now });
      const ids = [1, 2, 3, 4].map((n) => `${person}-${n}`);
      for (const id of ids) await keys.load(new Set([id]), { make: true });
      expect(keys.size).toBe(3);
      expect(keys.peek(new Set([ids[0]!]))).toBeUndefined();
      expect(keys.peek(new Set([ids[3]!]))).toBeDefined();
      now = 1_000;
      expect(keys.peek(new Set([ids[3]!]))).toBeUndefined();
      const { keys: swept } = open({ keepMs: 20 });
      await swept.load(new Set(ids), { make: true });
      expect(swept.size).toBe(4);
      const deadline = Date.now() + 10_000;
      while (swept.size > 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
      expect(swept.size).toBe(0);
    });
  });

  describe('a rotation of the wrapping key', () => {
    const rewrap = (signal = new AbortController().signal, batch = 500) =>
      rewrapPersonKeys({
        database: fresh.database,
        domain: 'customers',
        wrapping: localWrapping([second, first]),
        batch,
        signal,
      });

    test('wraps all keys anew, goes on after an interruption, and brings no erased key back', async () => {
      const { log } = open();
      await add(log, 0, updated());
      await erase(log, 1);
      const ids = Array.from({ length: 12 }, (_, n) => `${person}-${n}`);
      await open().keys.load(new Set(ids), { make: true });
      const before = await open().keys.load(new Set(ids));
      const interrupted = new AbortController();
      const half = localWrapping([second, first]);
      let count = 0;
      await rewrapPersonKeys({
        database: fresh.database,
        domain: 'customers',
        wrapping: {
          ...half,
          wrap(key, id) {
            if (++count === 6) interrupted.abort();
            return half.wrap(key, id);
          },
        },
        batch: 5,
        signal: interrupted.signal,
      });
      expect((await wrappingKeysInUse(fresh.database)).sort()).toEqual(['2026', '2027']);
      // A process that still has the first key in front makes one meanwhile.
      await open().keys.load(new Set([`${person}-late`]), { make: true });
      await rewrap(undefined, 5);
      expect(await wrappingKeysInUse(fresh.database)).toEqual(['2027']);
      expect(await open({ wrapping: localWrapping([second]) }).keys.load(new Set(ids))).toEqual(before);
      expect((await keyRow())!.wrapped).toBeNull();
    });
  });
});

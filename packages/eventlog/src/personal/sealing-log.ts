/**
 * The log of a context's aggregates: it seals personal texts in what is appended, and opens them in what is read. All other
 * readers have the log itself, with sealed texts. See docs/personal-data.md.
 *
 * Sealing needs the keys of the persons, and these may have to be read or made first. An append is never held back for that,
 * since it must reach the log right after those that it was decided on (README, Appends that rely on others). It is answered with a
 * conflict that names no event, once the keys are in memory: nothing has landed, and the command is decided again. Until then
 * the same holds for all appends with one of its streams. For the same reason a conflict is passed on at once: its events are
 * left out if a key to open them is not in memory, and the stream is read.
 */
import { entityOfStream, idOfStream, typeOf } from '@caudal/contract/entity.ts';
import {
  erased,
  escapeText,
  hasNoTexts,
  type PersonalBytes,
  type PersonalText,
  personalEvents,
  personalMessage,
  plainText,
  protectionsOf,
  unreadable,
} from '@caudal/contract/personal.ts';
import { CaudalError, isTransient } from '@caudal/kernel/errors.ts';
import { partsOf } from '../append.ts';
import type { Append, AppendResult, EventLog, NewEvent, RecordedEvent, StreamConflict } from '../types.ts';
import { isOfPerson, type OpenFormer, openText, sealText } from './cipher.ts';
import type { KeysOf, PersonKeys } from './person-keys.ts';

export interface SealingOptions {
  keys: PersonKeys;
  /** Opens texts that version 0.2 has sealed. */
  openFormer: OpenFormer;
  /** Whether texts are written as they are if this process can't make keys. Otherwise such an append is refused. */
  writePlain: boolean;
}

type Answered = Extract<AppendResult, { kind: 'conflict' | 'duplicate' }>;

/** The texts of bytes in a stream. */
interface Place {
  bytes: PersonalBytes;
  data: Uint8Array;
  subject: string;
}

/** The same log for aggregates. The caller stops the keys. */
export function sealingLog(log: EventLog, options: SealingOptions): EventLog {
  const { keys } = options;
  const { open, keysFor, openAll, forgetErased } = openingOf(options);
  const openOwn = (event: RecordedEvent, opening: Open) => (isOfSubject(event) ? openEvent(event, opening) : event);

  async function openOwnAll(events: RecordedEvent[]): Promise<RecordedEvent[]> {
    if (!events.some(isOfSubject)) return events;
    const opened = await openAll(events.filter(isOfSubject));
    let next = 0;
    return events.map((event) => (isOfSubject(event) ? opened[next++]! : event));
  }

  /** Streams whose appends are answered with conflicts, until these promises end. */
  const held = new Map<string, Promise<void>>();

  function hold(streams: string[], until: Promise<unknown>): Promise<void> {
    const ended = until.then(() => {
      for (const stream of streams) if (held.get(stream) === ended) held.delete(stream);
    });
    for (const stream of streams) held.set(stream, ended);
    return ended;
  }

  async function opened(result: Answered, append: Append, known: KeysOf): Promise<AppendResult> {
    if (result.kind === 'conflict') return openConflict(result);
    const type = append.command?.replyType;
    if (!type) return result;
    const place = { bytes: personalMessage(type), data: result.reply, subject: idOfStream(result.stream) };
    // With events, the answer must not be late: the appends behind it are void. The keys of the same answer are known.
    const found = append.events.length > 0 ? known : await keysFor([place]);
    return { ...result, reply: Buffer.from(place.bytes.change(place.data, place.subject, open(found))) };
  }

  function openConflict(result: Extract<Answered, { kind: 'conflict' }>): AppendResult {
    const openMissing = <C extends StreamConflict>(conflict: C): C => {
      const found = keys.peek(personsOf(conflict.missing.filter(isOfSubject).flatMap(placeOf)));
      return { ...conflict, missing: found ? conflict.missing.map((event) => openOwn(event, open(found))) : [] };
    };
    return { ...openMissing(result), ...(result.also && { also: result.also.map(openMissing) }) };
  }

  function send(append: Append, sealed: Append, known: KeysOf): Promise<AppendResult> {
    return log.append(sealed).then((result) => {
      if (result.kind === 'appended') for (const { stream, events } of partsOf(append)) forgetErased(events, stream);
      return result.kind === 'conflict' || result.kind === 'duplicate' ? opened(result, append, known) : result;
    });
  }

  return {
    ...log,
    domain: log.domain,
    append(append) {
      const streams = partsOf(append).map(({ stream }) => stream);
      const isHeld = streams.flatMap((stream) => held.get(stream) ?? []);
      if (isHeld.length > 0) return hold(streams, Promise.all(isHeld)).then(() => nothingLanded(append));
      const persons = personsOf(placesOf(append));
      if (persons.size === 0) return send(append, append, noKeys);
      const found = keys.peek(persons);
      if (!found || (keys.canMake && [...found.values()].some(({ kind }) => kind === 'none'))) {
        const loading = keys.load(persons, { make: true });
        hold(
          streams,
          loading.catch(() => {}),
        );
        return loading.then(() => nothingLanded(append));
      }
      try {
        return send(append, sealAppend(append, found, options), found);
      } catch (error) {
        // Those that were decided on this one in the same turn of the event loop must not land either.
        hold(streams, new Promise<void>((resolve) => setImmediate(resolve)));
        return Promise.reject(error);
      }
    },
    async readStreams(cursors, limits) {
      const subjects = cursors.flatMap(({ stream }) => (isOfSubject({ stream }) ? [idOfStream(stream)] : []));
      if (subjects.length === 0) return log.readStreams(cursors, limits);
      // At the same time, so that a key costs no wait of its own. If it can't be read, the events' own look-up says so.
      const [events] = await Promise.all([
        log.readStreams(cursors, limits),
        keys.load(new Set(subjects)).catch(() => undefined),
      ]);
      return openOwnAll(events);
    },
    async *readStream(stream, afterVersion) {
      for await (const page of log.readStream(stream, afterVersion)) yield await openOwnAll(page);
    },
  };
}

/**
 * Aggregates get texts of the stream's own subject opened. Those of others stay sealed: states keep them as they are
 * (`Decider.keepSealed`), so that no command of such a stream waits for a key that it does not need.
 */
const isOfSubject = ({ stream }: Pick<RecordedEvent, 'stream'>) => personalOf(stream)?.bytes.ofSubject ?? false;

/** Opens events of a log outside of aggregates, for tools that show them. */
export function eventOpener(
  options: Omit<SealingOptions, 'writePlain'>,
): (events: RecordedEvent[]) => Promise<RecordedEvent[]> {
  return openingOf(options).openAll;
}

/** The end of the types of events that destroy a person's key: migrations/023_person_keys.sql. */
const erasure = '.erased.v1';

/** Opens texts that views have kept as the events have them; `[sealed]` if that is not possible at the moment. */
export function textOpener(options: Omit<SealingOptions, 'writePlain'>): (texts: PersonalText[]) => Promise<string[]> {
  const { open, keysOf } = openingOf(options);
  return async (texts) => {
    try {
      const found = await keysOf(texts);
      return texts.map((text) => plainText(open(found)(text)) ?? unreadable);
    } catch (error) {
      // A view can be read while PostgreSQL is away.
      if (!isTransient(error)) throw error;
      return texts.map(({ text }) => plainText(text) ?? unreadable);
    }
  };
}

const noKeys: KeysOf = new Map();

/** What opens a text with these keys. */
type Open = (text: PersonalText) => string;

function openingOf({ keys, openFormer }: Omit<SealingOptions, 'writePlain'>) {
  /** The text as bytes hold it while it is not sealed. */
  const open =
    (found: KeysOf): Open =>
    (place) => {
      const key = found.get(place.person);
      if (key?.kind === 'erased') return erased;
      if (plainText(place.text) !== undefined) return place.text;
      if (!isOfPerson(place.text)) return escaped(openFormer(place.text, place));
      return key?.kind === 'key' ? escaped(openText(key, place.text, place)) : unreadable;
    };

  /** Their keys were destroyed with these events. */
  function forgetErased(events: Pick<NewEvent, 'type'>[], stream: string): void {
    if (events.some(({ type }) => type.endsWith(erasure))) keys.forget(idOfStream(stream));
  }

  async function keysOf(texts: PersonalText[]): Promise<KeysOf> {
    const found = await keys.load(new Set(texts.map(({ person }) => person)));
    const lacking = texts.filter(({ text, person }) => isOfPerson(text) && found.get(person)?.kind === 'none');
    if (lacking.length === 0) return found;
    // Another process has made the key since this one has found none.
    return new Map([...found, ...(await keys.load(new Set(lacking.map(({ person }) => person)), { afresh: true }))]);
  }

  const keysFor = (places: Place[]) => keysOf(places.flatMap(({ bytes, data, subject }) => bytes.texts(data, subject)));

  async function openAll(events: RecordedEvent[]): Promise<RecordedEvent[]> {
    for (const event of events) forgetErased([event], event.stream);
    const places = events.flatMap(placeOf);
    if (places.length === 0) return events;
    let found = await keysFor(places);
    // Such a key was destroyed with the event, and has come back from a backup.
    const restored = events.flatMap(({ stream, type }) => (type.endsWith(erasure) ? [stream] : []));
    for (const stream of new Set(restored)) {
      const person = idOfStream(stream);
      if (!found.has(person) || found.get(person)!.kind === 'erased') continue;
      await keys.destroy(person, stream);
      found = new Map([...found, [person, { kind: 'erased' }]]);
    }
    return events.map((event) => openEvent(event, open(found)));
  }

  return { open, keysOf, keysFor, openAll, forgetErased };
}

const escaped = (text: string | undefined) => (text === undefined ? unreadable : escapeText(text));

interface PersonalEvents {
  bytes: PersonalBytes;
  /** The types of events with personal fields: others are not decoded. */
  types: ReadonlySet<string>;
}

const entities = new Map<string, PersonalEvents | undefined>();

/** The personal fields of the events of a stream; undefined if they have none. */
function personalOf(stream: string): PersonalEvents | undefined {
  const entity = entityOfStream(stream);
  if (!entities.has(entity)) {
    const bytes = personalEvents(entity);
    const types = new Set([...protectionsOf(entity).keys()].map(($case) => typeOf(entity, $case)));
    entities.set(entity, bytes && { bytes, types });
  }
  return entities.get(entity);
}

type Bytes = Pick<RecordedEvent, 'stream' | 'type' | 'data'>;

function placeOf({ stream, type, data }: Bytes): Place[] {
  const personal = personalOf(stream);
  return personal?.types.has(type) && !hasNoTexts(data)
    ? [{ bytes: personal.bytes, data, subject: idOfStream(stream) }]
    : [];
}

/** The texts of an append that are to be sealed. */
function placesOf(append: Append): Place[] {
  const places = partsOf(append).flatMap(({ stream, events }) =>
    events.flatMap((event) => placeOf({ stream, ...event })),
  );
  const reply = replyOf(append);
  return reply ? [...places, reply] : places;
}

function replyOf({ stream, command }: Append): Place | undefined {
  if (!command?.reply || !command.replyType || hasNoTexts(command.reply)) return undefined;
  return { bytes: personalMessage(command.replyType), data: command.reply, subject: idOfStream(stream) };
}

function personsOf(places: Place[]): Set<string> {
  const persons = new Set<string>();
  for (const { bytes, data, subject } of places)
    for (const { person } of bytes.texts(data, subject)) persons.add(person);
  return persons;
}

function openEvent<E extends RecordedEvent>(event: E, open: Open): E {
  const [place] = placeOf(event);
  return place ? { ...event, data: Buffer.from(place.bytes.change(place.data, place.subject, open)) } : event;
}

/** Throws PERSONAL_DATA_SEALED if a text can't be sealed. */
function sealAppend(append: Append, found: KeysOf, { writePlain }: SealingOptions): Append {
  const seal = (place: PersonalText): string => {
    const key = found.get(place.person)!;
    if (key.kind === 'key') return sealText(key, plainText(place.text)!, place);
    // What is written of an erased person is unreadable from the start.
    if (key.kind === 'erased') return erased;
    if (key.kind === 'none' && writePlain) return place.text;
    const message = `"${place.field}" can't be written: this process lacks the key that seals it. Set CAUDAL_PERSONAL_DATA_KEYS as in the other processes.`;
    throw new CaudalError('FAILED_PRECONDITION', 'PERSONAL_DATA_SEALED', message);
  };
  const sealEvents = (stream: string, events: NewEvent[]) => {
    return events.map((event) => {
      const [place] = placeOf({ stream, ...event });
      return place ? { ...event, data: place.bytes.change(place.data, place.subject, seal) } : event;
    });
  };
  const reply = replyOf(append);
  return {
    ...append,
    events: sealEvents(append.stream, append.events),
    ...(append.also && {
      also: append.also.map((part) => ({ ...part, events: sealEvents(part.stream, part.events) })),
    }),
    ...(reply && {
      command: { ...append.command!, reply: reply.bytes.change(reply.data, reply.subject, seal) },
    }),
  };
}

/** The append was not sent: its streams count as they were expected, so that its command is decided again. */
function nothingLanded(append: Append): AppendResult {
  const [first, ...also] = partsOf(append).map(({ expected }): StreamConflict => {
    return { version: typeof expected === 'number' ? expected : 0, missing: [] };
  });
  return { kind: 'conflict', ...first!, ...(append.also && { also }) };
}

/**
 * An entity's events as stored in the log. In the contract they are one message with a union (`StockEvent`), so that
 * `evolve` can switch over all of them. In the log they are bytes with a type, `inventory.stock.reserved.v1`. Personal
 * fields are sealed in the log's bytes, not here: that needs the stream and the keys (personal.ts).
 */
import type { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { protectionsOf } from './personal.ts';

/** One case of an entity's union in ts-proto's form. */
export interface EventCase {
  $case: string;
  value: unknown;
}

export interface EncodedEvent {
  /** `<domain>.<entity>.<action>.v<n>` */
  type: string;
  /** The schema version of the message. Upcasters turn older versions into the current one. */
  schemaVersion: number;
  data: Uint8Array;
}

export interface Entity<E extends EventCase = EventCase> {
  /** `<domain>.<entity>`, the value of `(caudal.entity)`. */
  readonly name: string;
  /** The context whose log holds it. */
  readonly domain: string;
  encode(event: E): EncodedEvent;
  /**
   * A sealed text becomes `[sealed]`; with `keepSealed` texts stay as the bytes have them, for views whose queries open them. Throws if the bytes are not
   * an event of this entity. Throws NewerEvent if this version does not know the event.
   */
  decode(event: EncodedEvent, options?: { keepSealed?: boolean | undefined }): E;
  /** The same event in the current schema version; sealed texts stay sealed. Throws NewerEvent on a newer version. */
  upcast(event: EncodedEvent): EncodedEvent;
  /** The stream of the entity with this id: `inventory.stock/85123A`. */
  stream(id: string): string;
}

/** An event of a newer version of the contract, which this version can't read. */
export class NewerEvent extends Error {
  override name = 'NewerEvent';
}

/** Turns the bytes of a schema version into those of the next. */
export type Upcaster = (data: Uint8Array) => Uint8Array;

/** The parts of a generated message that `entity` needs. */
interface UnionCodec<E> {
  encode(message: { event?: E | undefined }): BinaryWriter;
  decode(input: BinaryReader | Uint8Array): { event?: E | undefined };
}

/** An event's type from its case: `reservationFailed` is `reservation_failed.v1`, `reservedV2` is `reserved.v2`. */
export function typeOf(entityName: string, $case: string): string {
  const [, action, version] = /^(.*?)(?:V(\d+))?$/.exec($case)!;
  return `${entityName}.${action!.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}.v${version ?? 1}`;
}

/**
 * The entity `name` whose events are the union `codec`. `upcasters[type][n]` turns the data of the event type from
 * schema version n into version n + 1. The current version is one more than the highest n.
 */
export function entity<E extends EventCase>(
  name: string,
  codec: UnionCodec<E>,
  upcasters: Record<string, Record<number, Upcaster>> = {},
): Entity<E> {
  const types = new Map<string, string>();
  const typeFor = ($case: string): string => {
    let type = types.get($case);
    if (!type) {
      type = typeOf(name, $case);
      types.set($case, type);
    }
    return type;
  };
  // Read at the first event, since it needs the contract's descriptors.
  let protections: ReturnType<typeof protectionsOf> | undefined;
  const protectionFor = ($case: string) => {
    protections ??= protectionsOf(name);
    return protections.get($case);
  };
  const currentVersion = (type: string) => 1 + Math.max(0, ...Object.keys(upcasters[type] ?? {}).map(Number));

  return {
    name,
    domain: name.slice(0, name.indexOf('.')),
    stream: (id) => `${name}/${id}`,
    encode(event) {
      const type = typeFor(event.$case);
      const protection = protectionFor(event.$case);
      const data = protection
        ? protection.encode(event.value, (value) => codec.encode({ event: { ...event, value } }).finish())
        : codec.encode({ event }).finish();
      return { type, schemaVersion: currentVersion(type), data };
    },
    decode(encoded, { keepSealed = false } = {}) {
      const { event } = codec.decode(upcast(encoded).data);
      if (!event) throw new NewerEvent(`${encoded.type} is not an event of ${name} that this version knows`);
      const protection = protectionFor(event.$case);
      return protection ? { ...event, value: protection.unescape(event.value, keepSealed) } : event;
    },
    upcast,
  };

  function upcast({ type, schemaVersion, data }: EncodedEvent): EncodedEvent {
    const current = currentVersion(type);
    if (schemaVersion > current)
      throw new NewerEvent(`${type} has schema version ${schemaVersion}; this version knows up to ${current}`);
    let bytes = data;
    for (let version = schemaVersion; version < current; version++) {
      const upcaster = upcasters[type]?.[version];
      if (!upcaster) throw new Error(`${type}: no upcaster from schema version ${version}`);
      bytes = upcaster(bytes);
    }
    return { type, schemaVersion: current, data: bytes };
  }
}

/** `inventory.stock` from `inventory.stock/85123A`. */
export function entityOfStream(stream: string): string {
  return stream.slice(0, stream.indexOf('/'));
}

/** `85123A` from `inventory.stock/85123A`. */
export function idOfStream(stream: string): string {
  return stream.slice(stream.indexOf('/') + 1);
}

/** `inventory` from `inventory.stock/85123A`, `inventory.stock` or an event type. */
export function domainOf(name: string): string {
  return name.slice(0, name.indexOf('.'));
}

/** The domains of these entities, each once: their logs contain the entities' events. */
export function domainsOf(entities: Iterable<string>): Set<string> {
  return new Set([...entities].map(domainOf));
}

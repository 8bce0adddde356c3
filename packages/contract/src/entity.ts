/**
 * An entity's events as the log keeps them. In the contract they are one message with a union (`StockEvent`), so that
 * `evolve` can switch over all of them; in the log they are bytes with a type, `inventory.stock.reserved.v1`.
 */
import type { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';

/** One case of an entity's union, as ts-proto writes it. */
export interface EventCase {
  $case: string;
  value: unknown;
}

export interface EncodedEvent {
  /** `<domain>.<entity>.<action>.v<n>` */
  type: string;
  /** The version of the message's shape; upcasters bring older ones up to it. */
  schemaVersion: number;
  data: Uint8Array;
}

export interface Entity<E extends EventCase = EventCase> {
  /** `<domain>.<entity>`, as the contract's `(caudal.entity)` says. */
  readonly name: string;
  /** The context whose log holds it. */
  readonly domain: string;
  encode(event: E): EncodedEvent;
  /** Throws on bytes that are no event of this entity, or of a type that this version does not know. */
  decode(event: EncodedEvent): E;
  /** The stream of the entity with this id: `inventory.stock/85123A`. */
  stream(id: string): string;
}

/** Brings the bytes of an older schema version to those of the next. */
export type Upcaster = (data: Uint8Array) => Uint8Array;

/** What `entity` needs of a generated message. */
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
 * The entity `name` whose events are the union `codec`. `upcasters[n]` turns the data of `<type>` at schema version n
 * into version n + 1; the current version is one more than the highest of them.
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
  const currentVersion = (type: string) => 1 + Math.max(0, ...Object.keys(upcasters[type] ?? {}).map(Number));

  return {
    name,
    domain: name.slice(0, name.indexOf('.')),
    stream: (id) => `${name}/${id}`,
    encode(event) {
      const type = typeFor(event.$case);
      return { type, schemaVersion: currentVersion(type), data: codec.encode({ event }).finish() };
    },
    decode({ type, schemaVersion, data }) {
      const current = currentVersion(type);
      if (schemaVersion > current)
        throw new Error(`${type} has schema version ${schemaVersion}; this code knows up to ${current}`);
      let bytes = data;
      for (let version = schemaVersion; version < current; version++) {
        const upcast = upcasters[type]?.[version];
        if (!upcast) throw new Error(`${type}: no upcaster from schema version ${version}`);
        bytes = upcast(bytes);
      }
      const { event } = codec.decode(bytes);
      if (!event) throw new Error(`${type} is no event of ${name} that this code knows`);
      return event;
    },
  };
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

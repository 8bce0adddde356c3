/**
 * Statements, signed with the keys of services, by which the two ends of a stream of forwarded calls prove what they are. Whoever may
 * write the table of owners can name an address; without the key of a workload that has the stream's context it is sent no call.
 */
import type { Caller } from '@caudal/kernel/context.ts';
import { importJWK, type JWK, type JWTPayload, SignJWT } from 'jose';
import { type TrustRootOptions, trustRoot, unauthenticated } from '../server/trust-root.ts';
import { forwardPermission } from './frames.ts';

/** The owner, as the forwarding process has asked for it. */
interface AskedOwner {
  instance: string;
  /** Where it was called. An owner proves its own address, so that nobody in between can pass its proof on. */
  address: string;
  nonce: string;
}

export interface ForwardKeys {
  /** Opens a stream at this instance, and is good for nothing else. Rejects without a key to sign with. */
  opening(instance: string): Promise<string>;
  /** Who opens a stream at this instance. Rejects with UNAUTHENTICATED. */
  opener(authorization: string | undefined, instance: string): Promise<Caller>;
  /** The owner's answer. Rejects without a key to sign with. */
  proof(owner: AskedOwner): Promise<string>;
  /** Whether the owner may have calls that concern this stream. Rejects if it has not proven itself. */
  proven(proof: unknown, owner: AskedOwner): Promise<(stream: string) => boolean>;
  /** Reads the keys that are not given. */
  prepare(): Promise<void>;
}

interface ForwardKeysOptions extends TrustRootOptions {
  /** This process's key; undefined: it neither opens streams nor proves itself. */
  key: JWK | undefined;
  /** The contexts that a key stands for; `*` for all. Undefined: a key without a name. */
  contextsOf(key: JWK | undefined): readonly string[];
}

const subject = 'service:process';
const leewaySeconds = 5;
const ttlSeconds = 60;
const longest = 8_192;

/** `audience`: that of services' tokens. Statements have one of their own, so that neither counts as the other. */
export function forwardKeys({ key, contextsOf, ...options }: ForwardKeysOptions): ForwardKeys {
  const audience = `${options.audience}/forward`;
  const root = trustRoot({ ...options, audience }, leewaySeconds);
  const algorithm = key?.alg ?? 'EdDSA';
  let imported: ReturnType<typeof importJWK> | undefined;

  async function sign(content: Record<string, string>): Promise<string> {
    if (!key) throw new Error('This process has no key to sign with.');
    imported ??= importJWK(key, algorithm);
    return new SignJWT(content)
      .setProtectedHeader({ alg: algorithm, kid: key.kid })
      .setIssuer(options.issuer)
      .setAudience(audience)
      .setSubject(subject)
      .setIssuedAt()
      .setExpirationTime(`${ttlSeconds} s`)
      .sign(await imported);
  }

  /** The contexts of the key that has signed exactly this. */
  async function signed(statement: unknown, content: Record<string, string>): Promise<readonly string[]> {
    if (typeof statement !== 'string' || statement.length > longest) throw wrong();
    const { payload, key: by } = await root.verify(statement);
    const contexts = contextsOf(by);
    if (payload.sub !== subject || contexts.length === 0 || !says(payload, content)) throw wrong();
    return contexts;
  }

  return {
    opening: (instance) => sign({ use: 'open', instance }),
    async opener(authorization, instance) {
      await signed(/^Bearer (.+)$/.exec(authorization ?? '')?.[1], { use: 'open', instance });
      return { subject, permissions: new Set([forwardPermission]), kind: 'service' };
    },
    proof: ({ instance, address, nonce }) => sign({ use: 'own', instance, address, nonce }),
    async proven(proof, { instance, address, nonce }) {
      const contexts = new Set(await signed(proof, { use: 'own', instance, address, nonce }));
      // `inventory` of `inventory.stock/MUG-1`.
      return (stream) => contexts.has('*') || contexts.has(stream.slice(0, stream.indexOf('.')));
    },
    async prepare() {
      await root.keys.get();
    },
  };
}

const says = (payload: JWTPayload, content: Record<string, string>): boolean =>
  Object.entries(content).every(([name, value]) => payload[name] === value);

const wrong = () =>
  unauthenticated(
    'TOKEN_INVALID',
    'The statement was not signed for this, by a key in CAUDAL_SERVICE_JWKS with its contexts.',
  );

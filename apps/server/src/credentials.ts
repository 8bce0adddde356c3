/**
 * How this process learns of revocations and API keys: from the context credentials, inside this process if it runs there. See
 * docs/identity.md, How processes learn of it.
 */
import {
  type CheckApiKeyResponse,
  CredentialCheckServiceService,
} from '@caudal/contract/gen/caudal/credentials/v1/checks.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import type { KnownApiKey } from '@caudal/rpc/server/api-keys.ts';
import { type Credentials, openCredentials, type Revocations } from '@caudal/rpc/server/credentials.ts';
import type { Client } from '@caudal/rpc/types.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { App } from './app.ts';
import { processCaller } from './service-permissions.ts';

const log = logger('credentials');

/** A process waits for this, and so does the call that caused it: shorter than calls wait. */
const askMs = 3_000;
/** How long the context may take to answer at the start, if it need not be there. */
const patienceMs = 3_000;

/** The list with the name of its content, by which it is asked for again. */
interface Listed extends Revocations {
  etag: string;
}

/** Of an installation that has no such context (yet): nothing can have been revoked. */
const nothing: Listed = { etag: '', tokens: new Set(), subjects: new Map() };

type Checks = Pick<Client<typeof CredentialCheckServiceService>, 'checkApiKey' | 'listRevoked'>;

/** What a process that serves calls knows of credentials. */
export function credentialsOf({ clients, values }: Pick<App, 'clients' | 'values'>): Credentials {
  const checks = clients.of(processCaller, CredentialCheckServiceService);
  return credentialsFrom(checks, {
    maxStaleMs: values.CAUDAL_CREDENTIALS_MAX_STALE,
    isRequired: values.CAUDAL_CREDENTIALS === 'required',
  });
}

export interface CredentialsFromOptions {
  maxStaleMs: number;
  /** Whether nothing counts before the list was read once. */
  isRequired: boolean;
}

export function credentialsFrom(checks: Checks, { maxStaleMs, isRequired }: CredentialsFromOptions): Credentials {
  const openedAt = performance.now();
  let before: Listed | undefined;
  // UNIMPLEMENTED is no proof that there is no such context: any 404 on the way is taken for it, and a pod of version 0.2 says it.
  const mustBeThere = () => isRequired || (before !== undefined && before !== nothing);
  return openCredentials({
    maxStaleMs,
    async readRevocations() {
      try {
        before = await listRevoked(checks, before);
      } catch (error) {
        // An installation that is split by contexts, as version 0.2 allowed, may have this one nowhere.
        if (mustBeThere()) throw error;
        if (!isCode(error, 'UNIMPLEMENTED') && performance.now() - openedAt < patienceMs) throw error;
        if (!before)
          log.warn(
            { err: error },
            'no process with the commands of the context credentials answers at CAUDAL_COMMAND_ADDRESS: nothing counts as revoked until one does. CAUDAL_CREDENTIALS says whether that is allowed',
          );
        before = nothing;
      }
      return before;
    },
    async readApiKey(id) {
      try {
        return keyOf(id, await checks.checkApiKey({ apiKeyId: id }, { timeoutMs: askMs }));
      } catch (error) {
        if (isCode(error, 'UNIMPLEMENTED') && !mustBeThere()) return undefined;
        throw error;
      }
    },
  });
}

async function listRevoked(checks: Checks, before: Listed | undefined): Promise<Listed> {
  const { etag, unchanged, tokenIds, subjects } = await checks.listRevoked(
    { etag: before?.etag ?? '' },
    { timeoutMs: askMs },
  );
  if (unchanged && before) return before;
  return {
    etag,
    tokens: new Set(tokenIds),
    subjects: new Map(subjects.map(({ subject, untilMillis }) => [subject, Number(untilMillis)])),
  };
}

function keyOf(
  id: string,
  { found, owner, creator, permissions, secrets, expireMillis }: CheckApiKeyResponse,
): KnownApiKey | undefined {
  if (!found) return undefined;
  return {
    id,
    owner,
    creator,
    permissions: new Set(permissions),
    secrets: secrets.map(({ hash, maker, madeMillis, endMillis }) => ({
      hash,
      maker,
      madeAt: Number(madeMillis),
      endsAt: Number(endMillis),
    })),
    expiresAt: Number(expireMillis),
  };
}

/**
 * Makes the process unready until it has keys and the list of revocations: until then it would refuse its callers, while the
 * process that it replaces would not.
 */
export function awaitIdentity(
  { identity, lifecycle }: Pick<App, 'identity' | 'lifecycle'>,
  credentials: Credentials | undefined,
): void {
  const waiting = new Set(['keys', 'revocations']);
  lifecycle.addCheck('identity', 'ready', () =>
    waiting.size === 0 ? undefined : `What callers are checked with is not known yet: ${[...waiting].join(', ')}.`,
  );
  const ask = async (what: string, read: () => unknown, advice: string) => {
    for (let attempt = 1; !lifecycle.ending.aborted; attempt++) {
      try {
        await read();
        waiting.delete(what);
        return;
      } catch (error) {
        if (attempt % 10 === 1)
          log.warn({ err: error }, `${what} can't be read, so this process is not ready: ${advice}`);
        await sleep(backoffMs(attempt, { firstMs: 200, maxMs: 5_000 }), lifecycle.ending);
      }
    }
  };
  void ask('keys', () => identity.prepare(), 'check CAUDAL_JWKS, CAUDAL_OIDC_ISSUER and CAUDAL_SERVICE_JWKS');
  void ask(
    'revocations',
    () => credentials?.revocations(),
    'run the commands of the context credentials at CAUDAL_COMMAND_ADDRESS, or set CAUDAL_CREDENTIALS',
  );
}

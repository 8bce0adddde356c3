/** How calls of contended streams reach the processes that own the streams: docs/owners.md. */
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Self } from '@caudal/aggregates/owner-rows.ts';
import { contractFile } from '@caudal/contract/descriptors.ts';
import type { CallTls } from '@caudal/rpc/client/call-tls.ts';
import { openForwarder } from '@caudal/rpc/forward/forwarder.ts';
import type { Forwarding } from '@caudal/rpc/server/server.ts';
import type { Identity } from './identity.ts';
import type { LocalContext } from './local-context.ts';
import { processCaller } from './service-permissions.ts';
import type { RuntimeValues } from './settings/settings.ts';
import { version } from './version.ts';

/** How processes prove themselves to each other. One with another protocol is not forwarded to. */
const protocol = 'signed proofs';

/** This process as an owner of streams; undefined if it serves no commands, or others can't reach it. */
export function ownerOf({
  CAUDAL_FORWARD_HOST: host,
  CAUDAL_GRPC_PORT: port,
  CAUDAL_ROLES: roles,
}: Pick<RuntimeValues, 'CAUDAL_FORWARD_HOST' | 'CAUDAL_GRPC_PORT' | 'CAUDAL_ROLES'>): Self | undefined {
  if (host === undefined || !roles.includes('command')) return undefined;
  const contract = createHash('sha256')
    .update(`${version} ${protocol} `)
    .update(readFileSync(contractFile))
    .digest('hex')
    .slice(0, 32);
  return { address: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`, instance: randomUUID(), contract };
}

/** Forwards as this process, and says which streams it owns. `tls` absent: over plain connections. */
export function openForwarding(
  { instance, address }: Self,
  identity: Identity,
  locals: LocalContext[],
  tls?: CallTls,
): Forwarding {
  const byName = new Map(locals.map((local) => [local.context.name, local]));
  const keys = identity.forwardKeys;
  return {
    instance,
    address,
    keys,
    forwarder: openForwarder({ token: identity.tokensOf(processCaller), keys, tls }),
    // `inventory` of `inventory.stock/MUG-1`.
    ownedMs: (stream) => byName.get(stream.slice(0, stream.indexOf('.')))?.ownedMs(stream) ?? 0,
  };
}

/** The token of `caudal import`: the given one, else one signed with the key of a system on this machine. */
import { isIP } from 'node:net';
import { isCode } from '@caudal/kernel/errors.ts';
import { renewing, type TokenSource } from '@caudal/rpc/server/tokens.ts';
import { everything } from './permissions.ts';
import { openSigner, type SignerValues } from './signer.ts';
import { UsageError } from './usage.ts';

/** Command ids belong to their caller, so an import that is started again must have the same subject to continue. */
export const SUBJECT = 'import';
const TOKEN_SECONDS = 3600;

export interface ImportToken {
  /** Undefined: the system is called without a token, since it may need none. */
  source: TokenSource | undefined;
  /** The import's error; if the system has refused the token, with the fix. */
  explain(error: unknown): unknown;
}

/** `address`: the `host:port` of the system. `given`: the token of --token or CAUDAL_TOKEN. */
export async function importToken(
  address: string,
  given: string | undefined,
  values: SignerValues,
): Promise<ImportToken> {
  if (given !== undefined) return { source: async () => given, explain: (error) => error };
  if (values.CAUDAL_AUTH === 'off') return { source: undefined, explain: (error) => error };
  if (!isLocal(address)) return without(`${address} is not of this machine, so no token was signed here.`);
  try {
    const identity = await openSigner(values);
    const sign = async () => (await identity.sign(SUBJECT, everything(), TOKEN_SECONDS))!;
    return {
      source: renewing(sign, TOKEN_SECONDS),
      explain: explainer(`${address} does not know the key that the import's token was signed with.`),
    };
  } catch (error) {
    if (error instanceof UsageError) return without(error.message);
    throw error;
  }
}

function without(why: string): ImportToken {
  return { source: undefined, explain: explainer(`The system needs a token. ${why}`) };
}

function explainer(what: string): ImportToken['explain'] {
  return (error) =>
    isCode(error, 'UNAUTHENTICATED') || isCode((error as Error).cause, 'UNAUTHENTICATED')
      ? new UsageError(
          `${what} Give a token by --token or CAUDAL_TOKEN: "caudal token --subject ${SUBJECT} --all" prints one where the ` +
            "system's key is. Or set CAUDAL_DATA_DIR to the data directory of the system.",
        )
      : error;
}

/** Whether the `host:port` is certainly of this machine. */
function isLocal(address: string): boolean {
  const host = address.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** `caudal keys`: a key pair for tokens. */
import { newId } from '@caudal/kernel/ids.ts';
import { generateKey } from '@caudal/rpc/server/tokens.ts';
import { Command } from 'commander';
import { say, sayJson } from '../output.ts';

export function keysCommand(): Command {
  return new Command('keys')
    .description('make a key pair: one part signs tokens, the other checks them')
    .option('--id <name>', "the key's id in a key set; a new one if absent")
    .option('--json', 'print both as one JSON object')
    .addHelpText(
      'after',
      `
CAUDAL_SERVICE_KEY is a secret: it goes to processes that sign tokens. CAUDAL_JWKS goes to all that check them.

Example: caudal keys > keys.env`,
    )
    .action(async ({ id = newId(), json }: { id?: string; json?: boolean }) => {
      const { privateKey, publicKey } = await generateKey(id);
      const keySet = { keys: [publicKey] };
      if (json) {
        sayJson({ CAUDAL_SERVICE_KEY: privateKey, CAUDAL_JWKS: keySet });
      } else {
        say(`CAUDAL_SERVICE_KEY='${JSON.stringify(privateKey)}'`);
        say(`CAUDAL_JWKS='${JSON.stringify(keySet)}'`);
      }
    });
}

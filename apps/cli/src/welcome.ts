/** The text that `caudal start` prints: addresses, and first calls to try. */
import { resolve } from 'node:path';
import type { Started } from '@caudal/server/start.ts';
import { everything } from './permissions.ts';

const TOKEN_SECONDS = 12 * 3600;

/** The text, with a token that has all permissions and calls that can be copied. */
export async function welcome({ server, identity, app: { values } }: Started): Promise<string> {
  const base = `${values.CAUDAL_TLS_CERTIFICATE ? 'https' : 'http'}://${values.CAUDAL_HOST}:${server.restPort}`;
  const token = await identity.sign('developer', everything(), TOKEN_SECONDS);
  const header = token ? ` -H "Authorization: Bearer $TOKEN"` : '';
  return `
Caudal is up.

  REST        ${base}
  API pages   ${base}/docs
  gRPC        ${values.CAUDAL_HOST}:${server.grpcPort}
  Data        ${resolve(values.CAUDAL_DATA_DIR)} (kept when you stop with Ctrl-C)

Try, in another terminal:
${token ? `\n  TOKEN=${token}\n` : ''}
  curl -s ${base}/v1/products${header} \\
    -H 'Content-Type: application/json' \\
    -d '{"productId": "LAMP-1", "title": "Desk lamp", "price": {"minorUnits": "2500", "currency": "GBP"}}'
  curl -s '${base}/v1/products:search?query=desk'${header}

  bin/caudal import apps/importer/data/online-retail-sample.csv --address ${values.CAUDAL_HOST}:${server.grpcPort}
                        # 4,792 real order lines, reconciled to the cent
`;
}

/** Reads API keys and revocations: caudal.credentials.v1.CredentialQueryService. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { pageLimit } from '@caudal/context/page-limit.ts';
import { placeTokens } from '@caudal/context/place-token.ts';
import type { ViewReader } from '@caudal/context/view-reader.ts';
import { type ApiKey, CredentialQueryServiceService } from '@caudal/contract/gen/caudal/credentials/v1/credentials.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Condition } from '@caudal/projections/types.ts';
import { service } from '@caudal/rpc/types.ts';
import { apiKeyDecider } from '../domain/api-key.ts';
import { type RevocationEntry, revocationDecider, revocationsAt, revocationsId } from '../domain/revocations.ts';
import { apiKeyMessage, revocationMessage } from '../messages.ts';

export interface CredentialQueryDependencies {
  aggregates: Pick<Aggregates, 'load'>;
  views: ViewReader<ApiKey>;
  clock: Clock;
}

export function credentialQueryService({ aggregates, views, clock }: CredentialQueryDependencies) {
  return service(CredentialQueryServiceService, {
    async getApiKey({ apiKeyId }, call) {
      const { state, version } = await aggregates.load(apiKeyDecider, apiKeyId);
      if (version === 0) throw notFound('api_key', apiKeyId);
      call.authorize(state.owner);
      return apiKeyMessage(state, version);
    },

    async listApiKeys({ owner, pageSize, pageToken }, call) {
      const where: Condition[] = [{ key: 'create_time' }];
      if (owner) where.push({ key: 'owner', equals: owner });
      const page = await views.find(
        { where, orderBy: [{ key: 'create_time', descending: true }], limit: pageLimit(pageSize), pageToken },
        call,
      );
      return { apiKeys: page.views.map(({ view }) => view), nextPageToken: page.nextPageToken };
    },

    async listRevocations({ pageSize, pageToken }) {
      const { state } = await aggregates.load(revocationDecider, revocationsId);
      const all = revocationsAt(state, clock());
      const after = pageToken === '' ? '' : revocationTokens.open(pageToken);
      const rest = all.slice(all.findLastIndex((entry) => placeOf(entry) <= after) + 1);
      const page = rest.slice(0, pageLimit(pageSize));
      return {
        revocations: page.map(revocationMessage),
        nextPageToken: page.length < rest.length ? revocationTokens.seal(placeOf(page.at(-1)!)) : '',
      };
    },
  });
}

/** The place of an entry in the order of the list: the page after it begins there, whatever has left the list meanwhile. */
const placeOf = ({ subject, tokenId }: RevocationEntry) => (subject ? `s:${subject}` : `t:${tokenId}`);

const revocationTokens = placeTokens('revocations');

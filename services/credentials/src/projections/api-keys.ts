/** API keys by owner, without secrets and their hashes. */
import { apiKey } from '@caudal/contract/entities.ts';
import { ApiKey } from '@caudal/contract/gen/caudal/credentials/v1/credentials.ts';
import { ignored, ignoreUnknown, on, type Projection } from '@caudal/projections/types.ts';
import type { ApiKeyEvent } from '../domain/api-key.ts';

export const apiKeys: Projection<ApiKey> = {
  name: 'api-keys',
  version: 1,
  codec: ApiKey,
  follows: [
    on<ApiKey, ApiKeyEvent>(apiKey, {
      view: ({ id }) => id,
      evolve(view, { event, at, version }) {
        const seen = { updateTime: at, etag: String(version) };
        if (event.$case === 'created') {
          const { secretHash: _, ...made } = event.value;
          return ApiKey.fromPartial({ ...seen, ...made, createTime: at });
        }
        if (!view) return ignored;
        switch (event.$case) {
          case 'rotated': {
            const { formerEndTime, expireTime } = event.value;
            const overlaps = formerEndTime !== undefined && formerEndTime > at;
            return { ...view, ...seen, formerSecretEndTime: overlaps ? formerEndTime : undefined, expireTime };
          }
          case 'revoked':
            return { ...view, ...seen, formerSecretEndTime: undefined, revokeTime: at };
          default:
            return ignoreUnknown(event);
        }
      },
    }),
  ],
  keys: {
    owner: { type: 'keyword', of: ({ owner }) => owner },
    create_time: { type: 'timestamp', of: ({ createTime }) => createTime ?? null },
  },
  indexes: [['create_time'], ['owner', 'create_time']],
};

/** Shows parcels to those who have their links: caudal.tracking.v1.TrackingPageQueryService. */
import { TrackingPageQueryServiceService } from '@caudal/contract/gen/caudal/tracking/v1/links.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { service } from '@caudal/rpc/types.ts';
import { styleHash } from '../page/style.ts';
import { trackingPage } from '../page/tracking-page.ts';
import { parcelOfLink } from '../store/parcel-links.ts';
import { arrivalOf } from './arrival.ts';
import { stateOf } from './parcel-message.ts';
import { rememberLearnt } from './remembered.ts';

export function trackingPageQueryService({ database, clock }: { database: Transaction; clock: Clock }) {
  const readLearnt = rememberLearnt(database);
  return service(TrackingPageQueryServiceService, {
    async showTrackingPage({ token }) {
      const now = clock();
      const row = await parcelOfLink(database, token, now);
      if (!row) throw noPage();
      const { carrier, trackingNumber, destination } = row;
      const state = stateOf(row);
      const html = trackingPage({
        ...{ carrier, trackingNumber, now: now.getTime() },
        traceCount: row.traces,
        state,
        destination: destination ?? undefined,
        estimate: await arrivalOf(row, state, { now, readLearnt }),
      });
      return { html, styleHash };
    },
  });
}

/** The same for a link that never was, one that has ended and one that was revoked. It does not repeat the token. */
const noPage = () =>
  new CaudalError(
    'NOT_FOUND',
    'PARCEL_LINK_NOT_FOUND',
    'This link shows no parcel: it has ended, was withdrawn, or is not complete.',
  );

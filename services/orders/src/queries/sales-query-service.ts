/** Reads sales. */
import { pageLimit } from '@caudal/context/page-limit.ts';
import type { ViewReader } from '@caudal/context/view-reader.ts';
import {
  type ListSalesRequest,
  type Sales,
  SalesQueryServiceService,
} from '@caudal/contract/gen/caudal/orders/v1/sales.ts';
import type { Condition } from '@caudal/projections/types.ts';
import { service } from '@caudal/rpc/types.ts';

export function salesQueryService({ views }: { views: ViewReader<Sales> }) {
  return service(SalesQueryServiceService, {
    async listSales(request, call) {
      const page = await views.find(
        {
          where: conditions(request),
          orderBy: [{ key: 'day' }, { key: 'country' }],
          limit: pageLimit(request.pageSize),
          pageToken: request.pageToken,
        },
        call,
      );
      return { sales: page.views.map(({ view }) => view), nextPageToken: page.nextPageToken };
    },
  });
}

/** Days are ordered as their names are. */
function conditions({ country, fromDay, toDay }: ListSalesRequest): Condition[] {
  const where: Condition[] = [];
  if (country) where.push({ key: 'country', equals: country });
  if (fromDay || toDay) where.push({ key: 'day', atLeast: fromDay || undefined, atMost: toDay || undefined });
  return where;
}

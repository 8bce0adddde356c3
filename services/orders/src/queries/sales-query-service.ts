/** Reads sales. */
import { pageLimit } from '@caudal/context/page-limit.ts';
import type { ViewReader } from '@caudal/context/view-reader.ts';
import {
  type ListSalesRequest,
  type Sales,
  SalesQueryServiceService,
} from '@caudal/contract/gen/caudal/orders/v1/sales.ts';
import { invalidField } from '@caudal/kernel/errors.ts';
import { isDay } from '@caudal/kernel/time.ts';
import type { Condition } from '@caudal/projections/types.ts';
import { service } from '@caudal/rpc/types.ts';
import { netRevenue } from '../projections/sales-by-day.ts';

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
      const sales = page.views.map(({ view }) => ({ ...view, netRevenue: netRevenue(view) }));
      return { sales, nextPageToken: page.nextPageToken };
    },
  });
}

/** Days are ordered as their names are. Throws INVALID_ARGUMENT for days that do not exist, or in the wrong order. */
function conditions({ country, fromDay, toDay }: ListSalesRequest): Condition[] {
  for (const [field, day] of Object.entries({ from_day: fromDay, to_day: toDay }))
    if (day && !isDay(day)) throw invalidField(field, 'must be a day of the calendar, such as 2026-11-01');
  if (fromDay && toDay && fromDay > toDay) throw invalidField('from_day', 'must not be after to_day');
  const where: Condition[] = [];
  if (country) where.push({ key: 'country', equals: country });
  if (fromDay || toDay) where.push({ key: 'day', atLeast: fromDay || undefined, atMost: toDay || undefined });
  return where;
}

/** All benchmarks, in the order of docs/benchmarks.md. */
import { append } from './benches/append.ts';
import { balancing } from './benches/balancing.ts';
import { brokenQueue } from './benches/broken-queue.ts';
import { caches } from './benches/caches.ts';
import { carts } from './benches/carts.ts';
import { contention } from './benches/contention.ts';
import { growth } from './benches/growth.ts';
import { hotItem } from './benches/hot-item.ts';
import { hotState } from './benches/hot-state.ts';
import { kept } from './benches/kept.ts';
import { lag } from './benches/lag.ts';
import { laptop } from './benches/laptop.ts';
import { lightLoad } from './benches/light-load.ts';
import { logAge } from './benches/log-age.ts';
import { memory } from './benches/memory.ts';
import { orders } from './benches/orders.ts';
import { partitions } from './benches/partitions.ts';
import { projection } from './benches/projection.ts';
import { query } from './benches/query.ts';
import { rebuild } from './benches/rebuild.ts';
import { reserve } from './benches/reserve.ts';
import { search } from './benches/search.ts';
import { tls } from './benches/tls.ts';
import { tracking } from './benches/tracking.ts';
import { transfers } from './benches/transfers.ts';
import type { Bench } from './types.ts';

export const benches: Bench[] = [
  append,
  hotItem,
  contention,
  hotState,
  reserve,
  transfers,
  query,
  projection,
  rebuild,
  search,
  lag,
  brokenQueue,
  partitions,
  orders,
  lightLoad,
  growth,
  kept,
  logAge,
  memory,
  laptop,
  tracking,
  carts,
  caches,
  balancing,
  tls,
];

/** Every context. A new context is a new line. */
import type { Context } from '@caudal/context/context.ts';
import { carts } from '@caudal/service-carts/context.ts';
import { catalog } from '@caudal/service-catalog/context.ts';
import { credentials } from '@caudal/service-credentials/context.ts';
import { customers } from '@caudal/service-customers/context.ts';
import { inventory } from '@caudal/service-inventory/context.ts';
import { notifications } from '@caudal/service-notifications/context.ts';
import { orders } from '@caudal/service-orders/context.ts';
import { payments } from '@caudal/service-payments/context.ts';
import { shipping } from '@caudal/service-shipping/context.ts';
import { tracking } from '@caudal/service-tracking/context.ts';

export const contexts = [
  carts,
  catalog,
  credentials,
  customers,
  inventory,
  orders,
  payments,
  shipping,
  tracking,
  notifications,
] as Context[];

/** Stock dashboard: pieces on hand, promised and available of each product. */
import { stock } from '@caudal/contract/entities.ts';
import { StockItem } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { ignored, ignoreUnknown, on, type Projection } from '@caudal/projections/types.ts';
import type { StockEvent } from '../domain/stock.ts';

const blank = StockItem.fromPartial({});

export const stockDashboard: Projection<StockItem> = {
  name: 'stock-dashboard',
  version: 1,
  parts: 4,
  codec: StockItem,
  follows: [
    on<StockItem, StockEvent>(stock, {
      view: ({ id }) => id,
      evolve(view = blank, { event, at }) {
        const changed = change(view, event);
        return changed === ignored ? ignored : { ...view, ...changed, updateTime: at };
      },
    }),
  ],
  keys: {
    available: { type: 'long', of: (view) => view.available },
    on_hand: { type: 'long', of: (view) => view.onHand },
    reserved: { type: 'long', of: (view) => view.reserved },
    kind: { type: 'keyword', of: (view) => view.kind },
  },
  indexes: [['available']],
};

/** The fields that the event changes. */
function change(view: StockItem, event: StockEvent): Partial<StockItem> | typeof ignored {
  switch (event.$case) {
    case 'created': {
      const { productId, kind, policy, quantity, available } = event.value;
      return { productId, kind, policy, onHand: quantity, available };
    }
    case 'restocked':
    case 'returned':
      return { onHand: view.onHand + event.value.quantity, available: event.value.available };
    case 'adjusted':
      return { onHand: view.onHand + event.value.delta, available: event.value.available };
    case 'reserved':
      return { reserved: view.reserved + event.value.quantity, available: event.value.available };
    case 'committed': {
      const { quantity, available } = event.value;
      return { onHand: view.onHand - quantity, reserved: view.reserved - quantity, available };
    }
    case 'released':
    case 'expired':
      return { reserved: view.reserved - event.value.quantity, available: event.value.available };
    case 'barred':
      return {};
    default:
      return ignoreUnknown(event);
  }
}

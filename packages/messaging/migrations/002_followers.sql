-- The queues that follow this log: a row a queue. The relay knows from it which queues to look at when the broker does
-- not confirm. Rows of queues that no longer exist are deleted. See docs/broken-queues.md.
CREATE TABLE followers (
  -- As the broker has it, the namespace included.
  queue         text        PRIMARY KEY,
  -- Whether it belongs to no handler of Caudal.
  stranger      boolean     NOT NULL DEFAULT false,
  -- The keys with which it is bound to the log's exchange: `orders.order.#`.
  keys          text[]      NOT NULL,
  registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Null: it is bound.
  set_aside_at  timestamptz,
  -- While it is set aside: the position after which it has missed events.
  missed_after  bigint
);

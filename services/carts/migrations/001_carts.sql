-- The carts: what is in one changes with every click, so it is a row that changes are merged into, and no stream of events.
CREATE TABLE carts (
  -- c/<customer> or g/<id of a guest's cart>
  cart_id      text        PRIMARY KEY,
  version      bigint      NOT NULL,
  -- The cart, what is known of its devices, its checkout: sealed with the customer's key, or with one that a guest's token makes.
  content      bytea       NOT NULL,
  -- Of a guest's cart: the SHA-256 of its token.
  token_hash   bytea,
  -- Of a guest's cart that a login has merged: the customer.
  merged_into  text,
  -- For the jobs, which open no cart.
  lines        int         NOT NULL,
  may_remind   boolean     NOT NULL,
  checking_out boolean     NOT NULL,
  changed_at   timestamptz NOT NULL,
  abandoned_at timestamptz
) WITH (fillfactor = 70); -- changed in place: leaves room for HOT updates

CREATE INDEX carts_changed_at ON carts (changed_at);
-- Of few carts: for find-abandoned-carts and settle-checkouts.
CREATE INDEX carts_not_abandoned ON carts (changed_at, cart_id) WHERE abandoned_at IS NULL AND lines > 0;
CREATE INDEX carts_checking_out ON carts (changed_at, cart_id) WHERE checking_out;

-- What idempotency keys have done, so that a repeat does it no second time.
CREATE TABLE cart_commands (
  cart_id text        NOT NULL,
  key     uuid        NOT NULL,
  hash    bytea       NOT NULL,
  -- The order that it has placed; empty if it was no checkout.
  answer  text        NOT NULL,
  made_at timestamptz NOT NULL,
  PRIMARY KEY (cart_id, key)
);

CREATE INDEX cart_commands_made_at ON cart_commands (made_at);

-- Rows of these are there to be changed. What the platform says of its own tables stays.
ALTER FUNCTION rights_of(text) RENAME TO rights_of_platform;
CREATE FUNCTION rights_of(table_name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN table_name IN ('carts', 'cart_commands') THEN 'SELECT, INSERT, UPDATE, DELETE'
    ELSE rights_of_platform(table_name) END
$$;
SELECT grant_on(name) FROM unnest(ARRAY['carts', 'cart_commands']) name;

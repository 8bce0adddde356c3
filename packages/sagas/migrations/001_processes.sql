-- How far each handler has seen each stream that it follows. A row a stream and handler.
CREATE TABLE handler_cursors (
  handler text   NOT NULL,
  stream  text   NOT NULL,
  version bigint NOT NULL,
  PRIMARY KEY (handler, stream)
);

-- What is due at a time even if nothing happens. `retries` counts how often it was due and could not be done; `version`
-- is that of the memory or stream it follows from, so that a late writer can't undo what a newer state has set.
CREATE TABLE timers (
  handler text        NOT NULL,
  id      text        NOT NULL,
  due_at  timestamptz NOT NULL,
  retries integer     NOT NULL,
  version bigint      NOT NULL,
  PRIMARY KEY (handler, id)
);
CREATE INDEX timers_due ON timers (due_at);

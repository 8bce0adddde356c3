-- Streams that a handler could not go on with: one row a stream, from its first event that failed. What comes later is
-- recorded here and waits for a redrive, which reads the stream from the log.
CREATE TABLE parked_streams (
  handler      text        NOT NULL,
  stream       text        NOT NULL,
  -- The event that could not be handled: nothing of the stream before it is missing.
  version      bigint      NOT NULL,
  event_type   text        NOT NULL,
  error        text        NOT NULL,
  attempts     integer     NOT NULL,
  parked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- The last version that has arrived. A redrive ends only at this one, or the event that came while it ran is lost.
  last_version bigint      NOT NULL,
  -- How many events wait. Derived, so that a message that comes twice counts once.
  count        bigint      NOT NULL GENERATED ALWAYS AS (last_version - version + 1) STORED,
  PRIMARY KEY (handler, stream)
);

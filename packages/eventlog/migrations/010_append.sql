-- Judges a batch of appends, in order, and writes those that may land, all in one step. docs/event-log-write-path.md has the
-- design: turns, units, claims.
--
-- An append is a unit of one or several parts, a part for each of its streams.
-- s_*: an element a stream of the batch. s_new: all its appends expect that it does not exist.
-- u_*: an element a unit. u_parts: the number of its parts. u_refused: it can only be a conflict, or a repeat: an append that
--      it relies on was refused, or one before it in the batch records one of its claims, and it shall come again to meet
--      that one's result.
-- p_*: an element a part. p_stream: its stream's place in s_*. p_expected: the version that the stream must have, -1 for "must
--      exist", -2 for any. p_count: how many of the events in e_* are its own.
-- c_*: an element a claim. c_unit, c_part: whose, and the unit's first part. c_expected: the generation that it must have, -1
--      for "absent", -2 for any. c_days: how long it is kept. c_from: if its id says when it was made, no claim of its scope
--      can end before this; else '-infinity'. c_lowest: the least of these, so that older partitions are not opened.
--      c_latest: the time of the latest id. c_hash: of a command. c_former: a command's key in
--      `commands`. c_outcome null: the claim is only looked up.
-- e_*: an element an event. e_part, e_place: the part that it is of, and its place among the part's events, both from 1.
-- writes: whether any append has something to write. If not, there is no need to take turns.
--
-- Returns first a row `batch`: the log's last position before it, recorded_at, how long the turn was waited for, and for each
-- part the stream's version after it, or null if it has not landed. If all have landed, as nearly always, that is all, since a
-- row costs both sides more than all else about an append that lands. Otherwise stream_versions has the version of
-- each stream after the batch, and these rows follow, with the unit's number n from 1:
--   duplicate  the command was done before: stream, version and reply of that time
--   reused     the command's key belongs to other content
--   claimed    for each claim that is not as expected: its place in c_*, kind, generation and version, and its outcome as reply
-- A unit that has neither landed nor such a row is a conflict.
CREATE FUNCTION append(
  writes boolean,
  s_stream text[], s_new boolean[],
  u_parts int[], u_refused boolean[],
  p_stream int[], p_expected int[], p_count int[],
  c_unit int[], c_part int[], c_key uuid[], c_expected int[], c_kind int[], c_days int[], c_from timestamptz[],
  c_lowest timestamptz, c_latest timestamptz, c_hash bytea[], c_former uuid[], c_outcome bytea[],
  e_part int[], e_place int[], e_id uuid[], e_type text[], e_schema_version int[], e_metadata bytea[], e_data bytea[]
) RETURNS TABLE (
  n int, verdict text, "position" bigint, recorded_at timestamptz, waited_seconds float8, versions int[], stream_versions int[],
  claim int, kind int, generation int, version int, stream text, reply bytea
) LANGUAGE plpgsql
-- Plans that do not depend on how big the tables were when they were made: a lookup is always one by index.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  began   timestamptz := clock_timestamp();
  waited  float8 := 0;
  this    date;   -- the newest month that has events
  target  date;   -- the month that this batch is of
  last    bigint; -- the log's last position: before the batch,
  next    bigint; -- and with what has landed
  moment  timestamptz;
  -- Of each stream: its version before the batch, and with what has landed; the number of events in appends of the batch that
  -- were refused. If not all have events this month: the last month that has some, null if the stream does not exist.
  befores int[];
  nows    int[];
  refused int[];
  lasts   date[];
  old     date;
  olds    int[];
  -- Of each part that has landed: the log's position before it, and the stream's version after it.
  starts  bigint[];
  afters  int[];
  -- What was found of claims, also of those that have ended; of each unit how that refuses it. Null if nothing was found, as
  -- nearly always.
  f_claim int[];
  f_row   claims[];
  u_how   text[];
  -- Of each claim that was found: its generation, and when it ends.
  c_found int[];
  c_ends  timestamptz[];
  -- Whether commands are kept in `commands`, for processes of version 0.2.
  to_commands boolean := false;
  -- Whether an append has not landed.
  any_refused boolean := false;
  first   int := 1; -- the unit's first part,
  behind  int;      -- and the next unit's
  s       int;
  lands   boolean;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'append() needs the isolation level READ COMMITTED: it must see what was committed before its turn'
      USING ERRCODE = 'invalid_transaction_state';
  END IF;
  IF writes THEN
    -- A statement of its own: the next ones see all that was committed before the turn was got.
    PERFORM pg_advisory_xact_lock(1667331428, 'events'::regclass::oid::int);
    waited := extract(epoch FROM clock_timestamp() - began);
  END IF;

  SELECT m.month INTO this FROM months m ORDER BY m.month DESC LIMIT 1;
  IF this IS NULL THEN
    last := 0;
    moment := log_clock();
    befores := array_fill(NULL::int, ARRAY[cardinality(s_stream)]);
  ELSE
    EXECUTE 'SELECT * FROM tail_' || month_suffix(this) || '($1, $2)' INTO last, moment, befores USING s_stream, s_new;
    -- The clock is read after the turn was got.
    moment := greatest(moment, log_clock());
  END IF;
  target := month_of(moment);
  IF array_position(befores, NULL) IS NOT NULL THEN
    -- Streams without an event this month: new ones, and those whose last is in an older one.
    SELECT array_agg(CASE WHEN s.before IS NULL THEN h.month ELSE this END ORDER BY s.n) INTO lasts
      FROM unnest(s_stream, befores) WITH ORDINALITY AS s(stream, before, n)
      LEFT JOIN LATERAL (
        SELECT m.month FROM stream_months m WHERE s.before IS NULL AND m.stream = s.stream ORDER BY m.month DESC LIMIT 1
      ) h ON true;
    FOR old IN SELECT DISTINCT l.month FROM unnest(lasts, befores) AS l(month, before) WHERE l.month IS NOT NULL AND l.before IS NULL LOOP
      EXECUTE 'SELECT t.versions FROM tail_' || month_suffix(old) || '($1, $2) t' INTO olds
        USING s_stream, ARRAY(SELECT l.month IS DISTINCT FROM old FROM unnest(lasts) WITH ORDINALITY AS l(month, n) ORDER BY l.n);
      befores := ARRAY(SELECT coalesce(b.before, b.old) FROM unnest(befores, olds) WITH ORDINALITY AS b(before, old, n) ORDER BY b.n);
    END LOOP;
    befores := array_replace(befores, NULL, 0);
  END IF;

  IF cardinality(c_key) > 0 THEN
    IF c_latest > moment + interval '1 day' THEN
      RAISE EXCEPTION 'The id of a claim says that it was made at %, which is more than a day from now', c_latest
        USING ERRCODE = 'datetime_field_overflow', HINT = 'Set the clock of the process that makes the ids.';
    END IF;
    -- Those that have ended are looked for too, as far as they can be in the partition of a claim that is made now: a key has
    -- each generation once.
    SELECT array_agg(c.n), array_agg(k.found) INTO f_claim, f_row
      FROM unnest(c_key) WITH ORDINALITY AS c(key, n)
      CROSS JOIN LATERAL (
        SELECT f AS found FROM claims f
        WHERE f.key = c.key AND f.expires > moment - interval '240 hours' AND f.expires >= c_lowest
        -- The newest ends last: a replacement does not end before what it replaces, and nothing is replaced after its end.
        ORDER BY f.expires DESC, f.generation DESC LIMIT 1
      ) k;
    IF to_regclass('commands') IS NOT NULL THEN
      to_commands := to_regclass('head') IS NOT NULL;
      SELECT f_claim || array_agg(c.n), f_row || array_agg(c.command) INTO f_claim, f_row FROM former_commands(c_former) c;
    END IF;
    IF f_claim IS NOT NULL THEN
      c_found := array_fill(NULL::int, ARRAY[cardinality(c_key)]);
      c_ends := array_fill(NULL::timestamptz, ARRAY[cardinality(c_key)]);
      FOR i IN 1..cardinality(f_claim) LOOP
        s := f_claim[i];
        c_found[s] := f_row[i].generation;
        c_ends[s] := f_row[i].expires;
      END LOOP;
      SELECT array_agg(f.how ORDER BY u.n) INTO u_how
        FROM generate_series(1, cardinality(u_parts)) AS u(n)
        LEFT JOIN LATERAL (
          SELECT CASE
            WHEN c_hash[f.claim] IS NULL THEN 'claimed'
            WHEN c_hash[f.claim] = f_row[f.place].hash THEN 'duplicate'
            ELSE 'reused' END AS how
          FROM unnest(f_claim) WITH ORDINALITY AS f(claim, place)
          WHERE c_unit[f.claim] = u.n AND c_expected[f.claim] NOT IN (-2, f_row[f.place].generation) AND f_row[f.place].expires > moment
          -- A command that was done before is that, whatever else is the case.
          ORDER BY c_hash[f.claim] IS NULL LIMIT 1
        ) f ON true;
    END IF;
  END IF;

  nows := befores;
  refused := array_fill(0, ARRAY[cardinality(s_stream)]);
  starts := array_fill(NULL::bigint, ARRAY[cardinality(p_stream)]);
  afters := array_fill(NULL::int, ARRAY[cardinality(p_stream)]);
  next := last;
  FOR unit IN 1..cardinality(u_parts) LOOP
    behind := first + u_parts[unit];
    lands := NOT u_refused[unit];
    FOR part IN first..behind - 1 LOOP
      s := p_stream[part];
      -- An exact version relies on all events before it.
      lands := lands AND CASE p_expected[part]
        WHEN -2 THEN true
        WHEN -1 THEN nows[s] > 0
        ELSE nows[s] = p_expected[part] AND refused[s] = 0 END;
    END LOOP;
    IF lands AND u_how[unit] IS NULL THEN
      FOR part IN first..behind - 1 LOOP
        s := p_stream[part];
        starts[part] := next;
        next := next + p_count[part];
        nows[s] := nows[s] + p_count[part];
        afters[part] := nows[s];
      END LOOP;
    ELSE
      any_refused := true;
      IF NOT lands AND u_how[unit] = 'claimed' THEN
        u_how[unit] := NULL;
      END IF;
      FOR part IN first..behind - 1 LOOP
        s := p_stream[part];
        refused[s] := refused[s] + p_count[part];
      END LOOP;
    END IF;
    first := behind;
  END LOOP;

  IF next > last THEN
    INSERT INTO events (position, recorded_at, version, schema_version, event_id, stream, type, metadata, data)
      SELECT starts[e.part] + e.place, moment, afters[e.part] - p_count[e.part] + e.place,
        e.schema_version, e.id, s_stream[p_stream[e.part]], e.type, e.metadata, e.data
      FROM unnest(e_part, e_place, e_id, e_type, e_schema_version, e_metadata, e_data)
        AS e(part, place, id, type, schema_version, metadata, data)
      WHERE afters[e.part] IS NOT NULL;
    IF target IS DISTINCT FROM this THEN
      INSERT INTO months (month, after) VALUES (target, last);
      lasts := coalesce(lasts, array_fill(this, ARRAY[cardinality(s_stream)]));
    END IF;
    IF lasts IS NOT NULL THEN
      INSERT INTO stream_months (stream, month, after)
        SELECT s.stream, target, s.before FROM unnest(s_stream, lasts, befores, nows) AS s(stream, month, before, now)
        WHERE s.now > s.before AND s.month IS DISTINCT FROM target;
    END IF;
  END IF;
  IF cardinality(c_key) > 0 THEN
    INSERT INTO claims (key, expires, version, generation, kind, hash, outcome, stream)
      SELECT c.key, greatest(moment + c.days * interval '24 hours', c.born, c.ends), afters[c.part],
        coalesce(c.found + 1, 0), c.kind, c.hash, c.outcome, CASE WHEN c.kind = 0 THEN s_stream[p_stream[c.part]] END
      FROM unnest(c_part, c_key, c_kind, c_days, c_from, c_hash, c_former, c_outcome, c_found, c_ends)
        AS c(part, key, kind, days, born, hash, former, outcome, found, ends)
      WHERE c.outcome IS NOT NULL AND afters[c.part] IS NOT NULL AND NOT (to_commands AND c.former IS NOT NULL);
    IF to_commands THEN
      INSERT INTO commands (key, recorded_at, version, stream, hash, reply)
        SELECT c.former, moment, afters[c.part], s_stream[p_stream[c.part]], c.hash, c.outcome
        FROM unnest(c_part, c_hash, c_former, c_outcome) AS c(part, hash, former, outcome)
        WHERE c.outcome IS NOT NULL AND afters[c.part] IS NOT NULL AND c.former IS NOT NULL;
    END IF;
  END IF;

  verdict := 'batch';
  position := last;
  recorded_at := moment;
  versions := afters;
  waited_seconds := waited;
  stream_versions := CASE WHEN any_refused THEN nows END;
  RETURN NEXT;
  IF u_how IS NOT NULL THEN
    RETURN QUERY
      SELECT c_unit[f.claim], u_how[c_unit[f.claim]], NULL::bigint, NULL::timestamptz, NULL::float8, NULL::int[], NULL::int[],
        f.claim, f_row[f.place].kind::int, f_row[f.place].generation, f_row[f.place].version, f_row[f.place].stream, f_row[f.place].outcome
      FROM unnest(f_claim) WITH ORDINALITY AS f(claim, place)
      WHERE (u_how[c_unit[f.claim]] = 'claimed' OR u_how[c_unit[f.claim]] IS NOT NULL AND c_hash[f.claim] IS NOT NULL)
        AND c_expected[f.claim] NOT IN (-2, f_row[f.place].generation) AND f_row[f.place].expires > moment;
  END IF;
END $$;

-- The commands among these keys that version 0.2 has recorded, as claims. While `commands` is there.
CREATE FUNCTION former_commands(keys uuid[]) RETURNS TABLE (n int, command claims) LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN QUERY
    SELECT k.n::int, ROW(k.key, 'infinity', c.version, 0, 0, c.hash, c.reply, c.stream)::claims
    FROM unnest(keys) WITH ORDINALITY AS k(key, n)
    CROSS JOIN LATERAL (SELECT * FROM commands c WHERE c.key = k.key LIMIT 1) c;
EXCEPTION WHEN undefined_table THEN
  -- It was dropped after the caller had looked for it, so it was empty.
END $$;

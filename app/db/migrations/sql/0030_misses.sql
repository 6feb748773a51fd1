-- Why a remembered answer is a miss, where the provider said so. Of answers that serve all clients (shared_answers) it is not kept.
ALTER TABLE lookup_cache ADD COLUMN code text, ADD COLUMN message text;
COMMENT ON COLUMN lookup_cache.message IS 'What the provider said beside, in a sentence; code: the same in a word.';

-- As in 0025, with code and message.
CREATE OR REPLACE FUNCTION note_lookups(p_job uuid, p_notes json, p_shares boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH told AS MATERIALIZED (
        SELECT * FROM json_to_recordset(p_notes) AS t(item_no integer, provider text, outcome text, code text, message text,
            is_cached boolean, is_late boolean, ms integer, credits real, findings jsonb, at timestamptz,
            identity text, keep_seconds double precision)
    ), noted AS (
        INSERT INTO lookup_attempts (job_id, item_no, provider, outcome, code, message, is_cached, is_late, ms, credits, findings, at)
        SELECT p_job, t.item_no, t.provider, t.outcome, t.code, t.message, coalesce(t.is_cached, false),
            coalesce(t.is_late, false), t.ms, t.credits, t.findings, t.at
        FROM told t
    )
    INSERT INTO lookup_cache AS c (tenant_id, provider, identity, findings, code, message, found_at, expires_at)
    SELECT DISTINCT ON (t.identity, t.provider) laneway_tenant(), t.provider, t.identity, coalesce(t.findings, '{}'),
        t.code, t.message, t.at, t.at + make_interval(secs => t.keep_seconds)
    FROM told t WHERE t.keep_seconds > 0
    ORDER BY t.identity, t.provider, t.at DESC
    ON CONFLICT (tenant_id, identity, provider) DO UPDATE
    SET findings = excluded.findings, code = excluded.code, message = excluded.message, found_at = excluded.found_at,
        expires_at = excluded.expires_at
    WHERE c.found_at < excluded.found_at;
    IF p_shares THEN PERFORM share_answers(p_notes); END IF;
END $$;

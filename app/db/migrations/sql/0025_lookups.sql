-- Look-ups: notes that are written in the record's own statement, one flight for equal questions of several processes, answers
-- that may serve every client, and a client's wish to be asked the cheapest first.

ALTER TABLE tenants ADD COLUMN enrichment_cheapest_first boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN tenants.enrichment_cheapest_first IS 'Whether the chain is ordered by what a look-up costs, where a job does not say.';

-- Answers that any client's question may be answered with, by what was asked and never by whom. Nobody reads the table but
-- through its functions, which are called only where ENRICHMENT_SHARED_ANSWERS says so. See docs/adr/0018.
CREATE TABLE shared_answers (
    provider    text NOT NULL,
    identity    text NOT NULL,
    findings    jsonb NOT NULL,
    found_at    timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (identity, provider)
);
CREATE INDEX shared_answers_expires_idx ON shared_answers (expires_at);
ALTER TABLE shared_answers ENABLE ROW LEVEL SECURITY;

-- Which running chunk is asking a question, or is about to. A claim is as good as its chunk's lease; one that is lost, as by a
-- crash of the server, costs a second call, so it needs no log.
CREATE UNLOGGED TABLE lookup_claims (
    tenant_id   uuid NOT NULL DEFAULT laneway_tenant(),
    identity    text NOT NULL,
    provider    text NOT NULL,
    chunk_id    bigint NOT NULL,
    fence       integer NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, identity, provider)
);
ALTER TABLE lookup_claims ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON lookup_claims USING (tenant_id = (SELECT laneway_tenant()));
GRANT SELECT, INSERT, UPDATE ON lookup_claims TO {app_role};

-- Claim questions of the scope's tenant for a chunk; return those that another one has claimed, whose lease has at least
-- p_alive seconds left: who has not been heard of for longer does not count. In one order, so that two never wait for each other.
CREATE FUNCTION claim_lookups(p_chunk bigint, p_fence integer, p_alive double precision, p_providers text[], p_identities text[])
RETURNS TABLE (provider text, identity text) LANGUAGE sql AS $$
    WITH asked AS (
        SELECT DISTINCT q.provider, q.identity FROM unnest(p_providers, p_identities) AS q(provider, identity)
    ), won AS (
        INSERT INTO lookup_claims AS k (identity, provider, chunk_id, fence)
        SELECT a.identity, a.provider, p_chunk, p_fence FROM asked a ORDER BY a.identity, a.provider
        ON CONFLICT (tenant_id, identity, provider) DO UPDATE
        SET chunk_id = excluded.chunk_id, fence = excluded.fence, at = excluded.at
        WHERE k.chunk_id = excluded.chunk_id OR NOT EXISTS (
            SELECT 1 FROM chunks c WHERE c.id = k.chunk_id AND c.fence = k.fence AND c.status = 'running'
                AND c.lease_until > clock_timestamp() + make_interval(secs => p_alive))
        RETURNING k.provider, k.identity
    )
    SELECT a.provider, a.identity FROM asked a EXCEPT SELECT w.provider, w.identity FROM won w
$$;
REVOKE ALL ON FUNCTION claim_lookups(bigint, integer, double precision, text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_lookups(bigint, integer, double precision, text[], text[]) TO {app_role};

-- Keep the answers among these notes that may serve all clients. Nothing of the note but the answer is taken.
CREATE FUNCTION share_answers(p_notes json) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO shared_answers AS s (provider, identity, findings, found_at, expires_at)
    SELECT DISTINCT ON (t.identity, t.provider) t.provider, t.identity, coalesce(t.findings, '{}'), t.at,
        t.at + make_interval(secs => t.keep_seconds)
    FROM json_to_recordset(p_notes) AS t(provider text, identity text, findings jsonb, at timestamptz,
        keep_seconds double precision, is_shared boolean)
    WHERE t.is_shared AND t.keep_seconds > 0
    ORDER BY t.identity, t.provider, t.at DESC
    ON CONFLICT (identity, provider) DO UPDATE
    SET findings = excluded.findings, found_at = excluded.found_at, expires_at = excluded.expires_at
    WHERE s.found_at < excluded.found_at
$$;
CREATE FUNCTION recall_shared(p_providers text[], p_identities text[])
RETURNS TABLE (provider text, identity text, findings jsonb, found_at timestamptz, left_seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.provider, s.identity, s.findings, s.found_at, extract(epoch FROM s.expires_at - clock_timestamp())::double precision
    FROM shared_answers s JOIN unnest(p_providers, p_identities) AS q(provider, identity)
        ON s.identity = q.identity AND s.provider = q.provider
    WHERE s.expires_at > clock_timestamp()
$$;
REVOKE ALL ON FUNCTION share_answers(json), recall_shared(text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION share_answers(json), recall_shared(text[], text[]) TO {app_role};

-- Note questions and what came of each, inside the scope of the job's tenant. What has keep_seconds is remembered as well: in
-- one order, so that two chunks with the same leads never wait for each other.
CREATE FUNCTION note_lookups(p_job uuid, p_notes json, p_shares boolean) RETURNS void LANGUAGE plpgsql AS $$
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
    INSERT INTO lookup_cache AS c (tenant_id, provider, identity, findings, found_at, expires_at)
    SELECT DISTINCT ON (t.identity, t.provider) laneway_tenant(), t.provider, t.identity, coalesce(t.findings, '{}'), t.at,
        t.at + make_interval(secs => t.keep_seconds)
    FROM told t WHERE t.keep_seconds > 0
    ORDER BY t.identity, t.provider, t.at DESC
    ON CONFLICT (tenant_id, identity, provider) DO UPDATE
    SET findings = excluded.findings, found_at = excluded.found_at, expires_at = excluded.expires_at
    WHERE c.found_at < excluded.found_at;
    IF p_shares THEN PERFORM share_answers(p_notes); END IF;
END $$;
REVOKE ALL ON FUNCTION note_lookups(uuid, json, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_lookups(uuid, json, boolean) TO {app_role};

-- Record outcomes with notes of look-ups in one statement that is a transaction of its own, as ledger_record_for does without.
CREATE FUNCTION ledger_record_lookups(
    p_tenant uuid, p_chunk bigint, p_fence integer, p_lease_seconds double precision, p_outcomes json, p_retries jsonb,
    p_job uuid, p_notes json, p_shares boolean, OUT held boolean, OUT cancel boolean, OUT recorded integer
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('laneway.tenant_id', p_tenant::text, true);
    SELECT r.held, r.cancel, r.recorded INTO held, cancel, recorded
    FROM ledger_record(p_chunk, p_fence, p_lease_seconds, p_outcomes, p_retries) r;
    IF held THEN PERFORM note_lookups(p_job, p_notes, p_shares); END IF;
END $$;
REVOKE ALL ON FUNCTION ledger_record_lookups(uuid, bigint, integer, double precision, json, jsonb, uuid, json, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_record_lookups(uuid, bigint, integer, double precision, json, jsonb, uuid, json, boolean) TO {app_role};

-- As before, and with what is shared; claims are of the minute, and go after an hour.
CREATE OR REPLACE FUNCTION forget_lookups(p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    n  bigint;
    m  bigint;
BEGIN
    DELETE FROM lookup_cache c USING (
        SELECT tenant_id, identity, provider FROM lookup_cache WHERE expires_at < clock_timestamp()
        ORDER BY expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED) old
    WHERE (c.tenant_id, c.identity, c.provider) = (old.tenant_id, old.identity, old.provider);
    GET DIAGNOSTICS n = ROW_COUNT;
    DELETE FROM shared_answers s USING (
        SELECT identity, provider FROM shared_answers WHERE expires_at < clock_timestamp()
        ORDER BY expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED) old
    WHERE (s.identity, s.provider) = (old.identity, old.provider);
    GET DIAGNOSTICS m = ROW_COUNT;
    DELETE FROM lookup_claims WHERE at < clock_timestamp() - interval '1 hour';
    -- Who asks goes on while a whole batch went, of either.
    RETURN greatest(n, m);
END $$;

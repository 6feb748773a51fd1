-- Jobs of one client made together, each only if it is still asked for by whom it was asked for.
--
-- A request that makes a job asked twice: who calls, and to make it. The caller may be remembered, if the statement that makes
-- the job sees to it that nothing about them has changed. And requests that wait for the database at the same time are made by
-- one statement and one commit.

-- What is known of a caller, by person or by a token's hash, and a text that is another one as soon as any of it is. No row: not
-- good (any more). Of one snapshot, so the version is that of what stands beside it.
CREATE FUNCTION auth_caller(p_user uuid, p_hash bytea DEFAULT NULL)
RETURNS TABLE (id uuid, tenant_id uuid, tenant_slug text, tenant_name text, email text, role text, password_hash text, is_active boolean,
    token_id uuid, scopes text[], version text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_user   uuid := p_user;
    v_token  uuid;
BEGIN
    IF p_hash IS NOT NULL THEN
        -- It also notes the use.
        SELECT f.user_id, f.token_id INTO v_user, v_token FROM auth_token(p_hash) f;
    END IF;
    RETURN QUERY SELECT u.id, u.tenant_id, t.slug, t.name, u.email, u.role, u.password_hash, u.is_active, k.id, k.scopes,
            concat_ws(' ', u.xmin, t.xmin, k.xmin)
        FROM users u LEFT JOIN tenants t ON t.id = u.tenant_id LEFT JOIN api_tokens k ON k.id = v_token
        WHERE u.id = v_user AND (p_hash IS NULL OR k.user_id = u.id AND k.tenant_id = u.tenant_id AND k.revoked_at IS NULL);
END $$;
REVOKE ALL ON FUNCTION auth_caller(uuid, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auth_caller(uuid, bytea) TO {app_role};

-- Make jobs of p_tenant: [{"id", "kind", "chunk_kind", "leads": [{"ref", "email", …}, …], "size", …}, …], leads in normal form and
-- numbered from 1, chunks of up to `size` of them. To be had as a transaction of its own, so it sets its tenant itself.
-- Left out, and not answered, is a job whose `version` is not that of the client's row (its params may be out of date), and one
-- whose `caller` is not the version of `created_by` and `token` (auth_caller), or whose token has ended. Either null: not asked.
CREATE FUNCTION ledger_submit_many(p_tenant uuid, p_jobs jsonb)
RETURNS TABLE (id uuid, status text, created_at timestamptz, duplicate_rows integer, created_by text, lane text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_now  timestamptz := clock_timestamp();
BEGIN
    -- It reads and writes past the policies, so it keeps to one client itself: whoever is in a client's scope stays there, and
    -- nobody's address is to be had by making a job in their name.
    IF laneway_tenant() <> p_tenant THEN
        RAISE EXCEPTION 'a job is made in its own client''s scope' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF EXISTS (SELECT FROM jsonb_to_recordset(p_jobs) AS j(created_by uuid, caller text) WHERE j.caller IS NULL
               AND NOT EXISTS (SELECT FROM users u WHERE u.id = j.created_by AND u.tenant_id = p_tenant) AND j.created_by IS NOT NULL) THEN
        RAISE EXCEPTION 'a job is made by a person of its own client' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('laneway.tenant_id', p_tenant::text, true);
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT j.*, jsonb_array_length(j.leads) AS items, u.email, CASE WHEN j.scheduled_for > v_now THEN 'scheduled' ELSE 'pending' END AS status
        FROM jsonb_to_recordset(p_jobs) AS j(id uuid, kind text, chunk_kind text, title text, priority smallint, tags text[], params jsonb,
            webhook_url text, scheduled_for timestamptz, max_retries smallint, created_by uuid, leads jsonb, size integer, version text,
            caller text, token uuid)
        LEFT JOIN tenants t ON t.id = p_tenant
        LEFT JOIN users u ON u.id = j.created_by AND u.tenant_id = p_tenant
        LEFT JOIN api_tokens k ON k.id = j.token
        WHERE coalesce(j.version = t.xmin::text, j.version IS NULL)
            AND (j.caller IS NULL OR (j.caller = concat_ws(' ', u.xmin, t.xmin, k.xmin) AND u.id IS NOT NULL
                AND (j.token IS NULL OR coalesce(k.expires_at > v_now, k.id IS NOT NULL))))
    ), lead AS MATERIALIZED (
        SELECT a.id, l.n, l.lead, coalesce(l.lead ->> 'email', '') AS email,
            -- An address that is there twice is verified, and paid for, once.
            CASE WHEN a.kind = 'email_validation' THEN min(l.n) OVER (PARTITION BY a.id, l.lead ->> 'email') ELSE l.n END AS first
        FROM asked a CROSS JOIN jsonb_array_elements(a.leads) WITH ORDINALITY AS l(lead, n)
    ), twice AS (
        SELECT l.id, count(*)::integer AS n FROM lead l WHERE l.n > l.first GROUP BY l.id
    ), made AS (
        INSERT INTO jobs (id, tenant_id, created_by, kind, title, priority, tags, params, webhook_url, scheduled_for, max_retries,
            status, total_items, duplicate_rows, chunks_open, created_at, updated_at)
        SELECT a.id, p_tenant, a.created_by, a.kind, a.title, a.priority, a.tags, a.params, a.webhook_url, a.scheduled_for, a.max_retries,
            a.status, a.items, coalesce(w.n, 0), (a.items + a.size - 1) / a.size, v_now, v_now
        FROM asked a LEFT JOIN twice w ON w.id = a.id
    ), items AS (
        INSERT INTO job_items (job_id, item_no, tenant_id, line_no, email, lead)
        SELECT l.id, l.n, p_tenant, l.n, l.email, l.lead FROM lead l
    ), duplicates AS (
        INSERT INTO job_duplicates (job_id, item_no, tenant_id, duplicate_of)
        SELECT l.id, l.n, p_tenant, l.first FROM lead l WHERE l.n > l.first
    ), parts AS (
        INSERT INTO chunks (job_id, tenant_id, kind, priority, first_item, last_item, run_at)
        SELECT a.id, p_tenant, a.chunk_kind, a.priority, first, least(first + a.size - 1, a.items), greatest(a.scheduled_for, v_now)
        FROM asked a CROSS JOIN generate_series(1, a.items, a.size) AS first
    )
    SELECT a.id, a.status, v_now, coalesce(w.n, 0), a.email, coalesce(CASE WHEN k.per_tenant THEN l.queue END, k.base_queue)
    FROM asked a LEFT JOIN twice w ON w.id = a.id
    LEFT JOIN chunk_kinds k ON k.kind = a.chunk_kind LEFT JOIN tenant_lanes l ON l.tenant_id = p_tenant;
    IF FOUND THEN
        PERFORM pg_notify('laneway_ready', '');
    END IF;
END $$;
REVOKE ALL ON FUNCTION ledger_submit_many(uuid, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_submit_many(uuid, jsonb) TO {app_role};

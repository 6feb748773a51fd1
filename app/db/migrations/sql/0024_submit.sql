-- A job with its items and chunks in one statement, every row written once.
--
-- The steps of before wrote a job's row three times, each with its indexes, its notice and its trigger, and a request waited
-- for the way to the database ten times.

-- Make a job of p_tenant with p_leads ([{"ref", "email", …}, …] in normal form, numbered from 1) and chunks of up to p_size
-- of them; answers the job as people see it. To be had as a transaction of its own, so it sets its tenant itself.
-- p_params may have been worked out earlier, from the client's row of p_version (client_version): if that row has changed
-- since, nothing is made and nothing answered.
CREATE FUNCTION ledger_submit(
    p_tenant uuid, p_job uuid, p_kind text, p_chunk_kind text, p_title text, p_priority integer, p_tags text[], p_params jsonb,
    p_webhook_url text, p_scheduled_for timestamptz, p_max_retries integer, p_created_by uuid, p_leads json, p_size integer,
    p_version text DEFAULT NULL
) RETURNS SETOF job_overview
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_now         timestamptz := clock_timestamp();
    v_items       integer := json_array_length(p_leads);
    v_duplicates  integer := 0;
BEGIN
    -- It reads and writes past the policies, so it keeps to one client itself: whoever is in a client's scope stays there, and
    -- nobody's address is to be had by making a job in their name.
    IF laneway_tenant() <> p_tenant THEN
        RAISE EXCEPTION 'a job is made in its own client''s scope' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF p_created_by IS NOT NULL AND NOT EXISTS (SELECT FROM users u WHERE u.id = p_created_by AND u.tenant_id = p_tenant) THEN
        RAISE EXCEPTION 'a job is made by a person of its own client' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('laneway.tenant_id', p_tenant::text, true);
    IF p_version <> (SELECT t.xmin::text FROM tenants t WHERE t.id = p_tenant) THEN RETURN; END IF;
    -- An address that is there twice is verified, and paid for, once.
    IF p_kind = 'email_validation' THEN
        SELECT count(*) - count(DISTINCT l.lead ->> 'email') INTO v_duplicates FROM json_array_elements(p_leads) AS l(lead);
    END IF;
    INSERT INTO jobs (id, tenant_id, created_by, kind, title, priority, tags, params, webhook_url, scheduled_for, max_retries,
        status, total_items, duplicate_rows, chunks_open, created_at, updated_at)
    VALUES (p_job, p_tenant, p_created_by, p_kind, p_title, p_priority, p_tags, p_params, p_webhook_url, p_scheduled_for, p_max_retries,
        CASE WHEN p_scheduled_for > v_now THEN 'scheduled' ELSE 'pending' END,
        v_items, v_duplicates, (v_items + p_size - 1) / p_size, v_now, v_now);
    INSERT INTO job_items (job_id, item_no, tenant_id, line_no, email, lead)
    SELECT p_job, l.n, p_tenant, l.n, coalesce(l.lead ->> 'email', ''), l.lead::jsonb
    FROM json_array_elements(p_leads) WITH ORDINALITY AS l(lead, n);
    IF v_duplicates > 0 THEN
        INSERT INTO job_duplicates (job_id, item_no, tenant_id, duplicate_of)
        SELECT p_job, i.item_no, p_tenant, i.first FROM (
            SELECT item_no, min(item_no) OVER (PARTITION BY email) AS first FROM job_items WHERE job_id = p_job) i
        WHERE i.item_no > i.first;
    END IF;
    INSERT INTO chunks (job_id, tenant_id, kind, priority, first_item, last_item, run_at)
    SELECT p_job, p_tenant, p_chunk_kind, p_priority, first, least(first + p_size - 1, v_items), greatest(p_scheduled_for, v_now)
    FROM generate_series(1, v_items, p_size) AS first;
    PERFORM pg_notify('laneway_ready', '');
    RETURN QUERY SELECT * FROM job_overview WHERE id = p_job;
END $$;

REVOKE ALL ON FUNCTION ledger_submit(uuid, uuid, text, text, text, integer, text[], jsonb, text, timestamptz, integer, uuid, json, integer, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_submit(uuid, uuid, text, text, text, integer, text[], jsonb, text, timestamptz, integer, uuid, json, integer, text)
    TO {app_role};

-- What people do to jobs beside cancel and retry; and the lists they choose them from.

CREATE INDEX jobs_tenant_kind_idx ON jobs (tenant_id, kind, id DESC);
CREATE INDEX jobs_tags_idx ON jobs USING gin (tags) WHERE tags <> '{}';

-- What is done to many jobs is a job itself: an item a job, and these two verdicts about it.
ALTER TABLE job_results DROP CONSTRAINT job_results_verdict_check;
ALTER TABLE job_results ADD CONSTRAINT job_results_verdict_check CHECK (verdict IN
    ('valid', 'invalid', 'catch_all', 'unknown', 'found', 'partial', 'not_found', 'done', 'skipped')) NOT VALID;
INSERT INTO chunk_kinds VALUES ('act', 'maintenance', false);

-- Change a job of this transaction's tenant: p_changes is {"priority", "webhook_url", "tags", "scheduled_for"}, those that are
-- to change. Work that was not released yet follows; for another time, what was released and nobody has begun is taken back. Answers 'changed', 'ended', 'begun' (its time can't be changed any
-- more) or 'unknown'.
CREATE FUNCTION ledger_edit(p_job uuid, p_changes jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    j         jobs;
    v_at      timestamptz := (p_changes ->> 'scheduled_for')::timestamptz;
BEGIN
    -- Chunks before their job, as everywhere.
    PERFORM 1 FROM chunks WHERE job_id = p_job AND status IN ('ready', 'released') ORDER BY id FOR UPDATE;
    SELECT * INTO j FROM jobs WHERE id = p_job FOR UPDATE;
    IF NOT FOUND THEN RETURN 'unknown'; END IF;
    IF j.status IN ('completed', 'failed', 'cancelled', 'dead_letter') THEN RETURN 'ended'; END IF;
    IF p_changes ? 'scheduled_for' AND j.status NOT IN ('scheduled', 'pending') THEN RETURN 'begun'; END IF;
    UPDATE jobs SET
        priority = coalesce((p_changes ->> 'priority')::smallint, priority),
        webhook_url = CASE WHEN p_changes ? 'webhook_url' THEN p_changes ->> 'webhook_url' ELSE webhook_url END,
        tags = CASE WHEN p_changes ? 'tags' THEN ARRAY(SELECT jsonb_array_elements_text(p_changes -> 'tags')) ELSE tags END,
        scheduled_for = CASE WHEN p_changes ? 'scheduled_for' THEN v_at ELSE scheduled_for END,
        status = CASE WHEN NOT p_changes ? 'scheduled_for' THEN status
                      WHEN v_at > clock_timestamp() THEN 'scheduled' ELSE 'pending' END,
        updated_at = clock_timestamp()
    WHERE id = p_job;
    IF p_changes ? 'scheduled_for' THEN
        UPDATE chunks SET status = 'ready', fence = fence + 1, queue = NULL, released_at = NULL
        WHERE job_id = p_job AND status = 'released';
    END IF;
    UPDATE chunks SET
        priority = coalesce((p_changes ->> 'priority')::smallint, priority),
        run_at = CASE WHEN p_changes ? 'scheduled_for' THEN greatest(coalesce(v_at, clock_timestamp()), clock_timestamp()) ELSE run_at END
    WHERE job_id = p_job AND status = 'ready';
    PERFORM pg_notify('laneway_ready', '');
    PERFORM pg_notify('laneway_job', laneway_tenant() || ' ' || p_job);
    RETURN 'changed';
END $$;

REVOKE ALL ON FUNCTION ledger_edit(uuid, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_edit(uuid, jsonb) TO {app_role};

-- Released chunks that wait in queues which no live worker serves, oldest first: whoever drives work in a process of its own
-- may take them.
CREATE FUNCTION ledger_unattended(p_limit integer, p_presence_seconds double precision)
RETURNS TABLE (chunk_id bigint, fence integer, queue text, tenant_id uuid, tenant_slug text, job_id uuid, kind text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT c.id, c.fence, c.queue, c.tenant_id, t.slug, c.job_id, c.kind FROM chunks c JOIN tenants t ON t.id = c.tenant_id
    WHERE c.status = 'released' AND NOT EXISTS (
        SELECT 1 FROM workers w WHERE c.queue = ANY (w.queues)
          AND w.last_seen > clock_timestamp() - make_interval(secs => p_presence_seconds))
    ORDER BY c.released_at, c.id LIMIT p_limit
$$;
REVOKE ALL ON FUNCTION ledger_unattended(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_unattended(integer, double precision) TO {app_role};

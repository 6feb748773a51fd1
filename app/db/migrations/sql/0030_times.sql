-- Times in the payloads of events are written as those of the API are: in UTC with a Z. The rest is as in 0016 and 0023.
CREATE FUNCTION utc_text(p_at timestamptz) RETURNS text LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;
REVOKE ALL ON FUNCTION utc_text(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION utc_text(timestamptz) TO {app_role};

CREATE OR REPLACE FUNCTION webhook_job_data(j jobs) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
    SELECT jsonb_build_object('job', jsonb_build_object(
        'id', j.id, 'kind', j.kind, 'title', left(j.title, 300), 'status', j.status, 'priority', j.priority,
        'tags', to_jsonb(ARRAY(SELECT left(t, 100) FROM unnest(j.tags[1:50]) AS t)),
        'total', j.total_items, 'done', j.done_items + o.done, 'failed', j.failed_items + o.failed, 'counts', o.counts,
        'bad_rows', j.bad_rows, 'duplicate_rows', j.duplicate_rows, 'error', left(j.error, 1000),
        'created_at', utc_text(j.created_at), 'started_at', utc_text(j.started_at), 'finished_at', utc_text(j.finished_at)))
    FROM (
        SELECT coalesce(sum(c.done_items), 0) AS done, coalesce(sum(c.failed_items), 0) AS failed,
            (SELECT coalesce(jsonb_object_agg(s.key, s.n), '{}') FROM (
                SELECT p.key, sum(p.value::bigint) AS n FROM (
                    SELECT key, value FROM jsonb_each_text(j.counts)
                    UNION ALL SELECT x.key, x.value FROM chunks z CROSS JOIN jsonb_each_text(z.counts) x
                    WHERE z.job_id = j.id AND z.status IN ('ready', 'released', 'running') AND z.started_at IS NOT NULL
                ) p GROUP BY p.key) s) AS counts
        FROM chunks c WHERE c.job_id = j.id AND c.status IN ('ready', 'released', 'running') AND c.started_at IS NOT NULL
    ) o
$$;

CREATE OR REPLACE FUNCTION webhook_tell(j jobs, p_type text) RETURNS void
LANGUAGE sql SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
    INSERT INTO webhook_events (tenant_id, type, job_id, job_url, payload)
    VALUES (j.tenant_id, p_type, j.id, j.webhook_url, jsonb_build_object(
        'type', p_type, 'timestamp', utc_text(clock_timestamp()), 'data', webhook_job_data(j)));
    SELECT pg_notify('laneway_webhooks', '')
$$;

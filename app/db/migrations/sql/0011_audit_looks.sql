-- Looks at the audit: a page of it, and the lanes that were left lately.

-- The newest first; p_before is the id to go on from. One more than the longest page, which tells that there is another.
CREATE OR REPLACE FUNCTION audit_log(p_tenant uuid DEFAULT NULL, p_limit integer DEFAULT 50, p_before bigint DEFAULT NULL)
RETURNS SETOF audit_events
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT * FROM audit_events e
    WHERE (p_tenant IS NULL OR e.tenant_id = p_tenant) AND (p_before IS NULL OR e.id < p_before)
    ORDER BY e.id DESC LIMIT least(p_limit, 501)
$$;

-- The lanes that clients left within so many seconds, each once, however many clients that were.
CREATE INDEX audit_events_moves_idx ON audit_events (at) WHERE action = 'lane.changed';
CREATE FUNCTION lanes_left(p_seconds double precision) RETURNS TABLE (queue text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT DISTINCT e.from_queue FROM audit_events e
    WHERE e.action = 'lane.changed' AND e.at > clock_timestamp() - make_interval(secs => p_seconds)
$$;

REVOKE ALL ON FUNCTION lanes_left(double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lanes_left(double precision) TO {app_role};

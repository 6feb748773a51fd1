-- Row-level security and grants. The web and the workers act as {app_role}: it owns nothing, cannot bypass row-level
-- security, and sees a tenant's rows only inside that tenant's transaction. The owner (migrations, operators' psql) is not bound.

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenants USING (id = (SELECT laneway_tenant()));
ALTER TABLE worker_configs ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON worker_configs USING (user_id IN (SELECT u.id FROM users u));

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['users', 'api_keys', 'jobs', 'chunks', 'job_items', 'job_results', 'job_duplicates',
                             'job_row_errors', 'idempotency_keys', 'lane_holds'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT laneway_tenant()))', t);
    END LOOP;
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO {app_role};
GRANT SELECT ON tenants, users, worker_configs, tenant_lanes, api_keys, chunk_kinds, job_items, job_results TO {app_role};
GRANT SELECT, INSERT, UPDATE ON jobs, chunks TO {app_role};
-- Insert-only: a recorded outcome is never changed by a worker; taking failures out for a retry is ledger_retry's.
GRANT INSERT ON job_results TO {app_role};
GRANT SELECT, INSERT ON job_duplicates, job_row_errors TO {app_role};
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys, lane_holds, workers, key_usage TO {app_role};
GRANT SELECT, INSERT, DELETE ON system_ticks TO {app_role};

DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN
        SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = 'public' AND NOT EXISTS (
            SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO {app_role}', f);
    END LOOP;
END $$;
-- Ends a client's wait in its queue; only the trigger calls it.
REVOKE ALL ON FUNCTION reroute_tenant(uuid) FROM {app_role};

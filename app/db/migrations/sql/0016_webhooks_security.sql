-- A client sees its own endpoints and their log. What crosses clients is the owner's, through functions.

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['webhook_endpoints', 'webhook_secrets', 'webhook_events', 'webhook_deliveries', 'webhook_attempts'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT laneway_tenant()))', t);
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE ON webhook_endpoints, webhook_secrets, webhook_deliveries TO {app_role};
GRANT SELECT, INSERT ON webhook_events, webhook_attempts TO {app_role};

DO $$
DECLARE
    f text;
BEGIN
    FOREACH f IN ARRAY ARRAY['webhook_sweep_progress(double precision, double precision, integer)', 'webhook_spread(integer)',
        'webhook_wake()', 'webhook_forget(double precision, integer)', 'webhook_disable(uuid, text)', 'webhook_cancel(uuid, text)',
        'webhook_record(bigint, integer, double precision, uuid, json, double precision, double precision)',
        'webhook_end(bigint, integer, uuid, boolean)', 'webhook_replay(bigint)'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO {app_role}', f);
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION webhook_job_data(jobs), webhook_is_wanted(uuid, text), webhook_tell(jobs, text), webhook_job_ended(),
    webhook_lock_chunks(uuid[]), webhook_open_chunks(uuid[]) FROM PUBLIC;

-- Operators count clients' open jobs, not the installation's own. The rest of the function stays as it is.
DO $$
DECLARE
    v_before  text := pg_get_functiondef('clients_overview(double precision, uuid[])'::regprocedure);
    v_after   text := replace(v_before, 'FROM jobs j WHERE j.tenant_id = t.id AND', 'FROM jobs j WHERE j.tenant_id = t.id AND NOT j.is_system AND');
BEGIN
    IF v_after = v_before THEN RAISE EXCEPTION 'clients_overview no longer counts open jobs as 0008_clients_overview.sql does'; END IF;
    EXECUTE v_after;
END $$;

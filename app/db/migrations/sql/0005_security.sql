-- A client sees its own audit rows and usage; the role writes none of these tables but through the functions.

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['audit_events', 'tenant_routes', 'lane_fallbacks', 'lane_usage'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT laneway_tenant()))', t);
        EXECUTE format('GRANT SELECT ON %I TO {app_role}', t);
    END LOOP;
END $$;
GRANT SELECT ON configured_lanes, lane_attendance TO {app_role};
-- A client sees its own lane only: others' bear their names.
ALTER TABLE lane_attendance ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON lane_attendance USING (queue IN (SELECT wc.verification_queue FROM worker_configs wc));

DO $$
DECLARE
    f text;
BEGIN
    FOREACH f IN ARRAY ARRAY['clients_overview(double precision, uuid)', 'audit_log(uuid, integer, bigint)', 'lane_watch()',
        'add_lane_usage(jsonb)', 'forget_lane_usage()', 'client_set_lane(uuid, text, text, text)', 'client_set_active(uuid, boolean)',
        'client_remove_lane(uuid)', 'client_set(uuid, jsonb)', 'key_add(uuid, text, text, bytea, text, jsonb)',
        'key_set(uuid, jsonb)', 'key_remove(uuid)', 'key_secret(uuid)', 'keys_for(uuid, text)', 'keys_overview()',
        'tend_lanes(double precision)', 'attended_queues(double precision)', 'laneway_actor()'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO {app_role}', f);
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION audit(text, uuid, jsonb), check_worker_config(), tenant_changed() FROM PUBLIC;

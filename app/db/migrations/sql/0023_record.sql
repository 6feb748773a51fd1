-- Record outcomes in one statement that is a transaction of its own: a worker says it once a second for each of its chunks,
-- and the beginning, the tenant and the commit would each be a further answer to wait for.
CREATE FUNCTION ledger_record_for(
    p_tenant uuid, p_chunk bigint, p_fence integer, p_lease_seconds double precision, p_outcomes json, p_retries jsonb,
    OUT held boolean, OUT cancel boolean, OUT recorded integer
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('laneway.tenant_id', p_tenant::text, true);
    SELECT r.held, r.cancel, r.recorded INTO held, cancel, recorded
    FROM ledger_record(p_chunk, p_fence, p_lease_seconds, p_outcomes, p_retries) r;
END $$;
REVOKE ALL ON FUNCTION ledger_record_for(uuid, bigint, integer, double precision, json, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_record_for(uuid, bigint, integer, double precision, json, jsonb) TO {app_role};

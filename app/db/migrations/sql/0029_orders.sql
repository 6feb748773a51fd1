-- As in 0026, with the order in which a client's chain is asked beside the chain: a client that has set either is told of.
DROP FUNCTION client_chains(uuid[]);
CREATE FUNCTION client_chains(p_tenants uuid[]) RETURNS TABLE (tenant_id uuid, chain text[], cheapest_first boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.id, t.enrichment_chain, t.enrichment_cheapest_first FROM tenants t
    WHERE t.id = ANY (p_tenants) AND (t.enrichment_chain IS NOT NULL OR t.enrichment_cheapest_first)
$$;
REVOKE ALL ON FUNCTION client_chains(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION client_chains(uuid[]) TO {app_role};

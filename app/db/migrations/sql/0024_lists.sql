-- Counts of jobs by status from the index alone: the policy asks each row whether it is the system's, and ten thousand rows of a
-- status that is rare among a million lie on as many pages. `kind` and `priority` are what people filter by besides.
CREATE INDEX jobs_tenant_status_new ON jobs (tenant_id, status, id DESC) INCLUDE (is_system, kind, priority);
DROP INDEX jobs_tenant_status_idx;
ALTER INDEX jobs_tenant_status_new RENAME TO jobs_tenant_status_idx;

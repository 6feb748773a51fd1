"""Lead enrichment: asking vendors for what a lead's row does not say."""

"""What users' own tests may use: conformance suites, record builders, servers."""

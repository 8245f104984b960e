"""What is done before a release: `make test-matrix` and `make release-check`."""

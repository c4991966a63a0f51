"""The programs that tests and releases run, built from their Go modules."""

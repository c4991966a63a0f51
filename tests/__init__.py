"""The tests of azure-lb-metadata, and what runs them."""

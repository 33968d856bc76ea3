"""Event streams: what the ledger commits, told to those who listen."""

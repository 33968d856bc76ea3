"""Webhooks: events told to other services, signed, again until they take them."""

"""What one caller may take of the server: rates, places, connections, quotas."""

from api.limits.settings import Limits, Quota

__all__ = ["Limits", "Quota"]

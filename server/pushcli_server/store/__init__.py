"""Everything that outlives the process; nothing outside this package speaks SQL."""

from pushcli_server.store.errors import CannotApply, CannotStore, StoreUnavailable
from pushcli_server.store.store import Store

__all__ = ["CannotApply", "CannotStore", "Store", "StoreUnavailable"]

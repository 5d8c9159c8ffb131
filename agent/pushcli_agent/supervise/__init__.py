"""One job's supervisor and its parts, each cheap to import (see `supervisor`)."""

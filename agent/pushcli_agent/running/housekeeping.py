"""What is done now and then: files of old jobs are removed."""

import logging
from pathlib import Path

from pushcli_agent.running import jobfile

_log = logging.getLogger(__name__)


class Housekeeping:
    """Looks for expired job files at the start and then once in their lifetime.

    Args:
        expiry: seconds for which a job's file is kept.
    """

    def __init__(self, file_dir: Path, expiry: float) -> None:
        self._file_dir = file_dir
        self._expiry = expiry
        self.due_at = 0.0

    def work(self, now: float) -> None:
        """Do what is due; `now` is monotonic."""
        if now < self.due_at:
            return
        self.due_at = now + self._expiry
        removed = jobfile.expire(self._file_dir, self._expiry)
        if removed:
            _log.info("removed %d old job files from %s", removed, self._file_dir)

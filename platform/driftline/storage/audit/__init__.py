"""The audit: the proof of what became of every record."""

from driftline.storage.audit.proof import audit
from driftline.storage.audit.report import AuditReport, Difference, StreamCounts

__all__ = ["AuditReport", "Difference", "StreamCounts", "audit"]

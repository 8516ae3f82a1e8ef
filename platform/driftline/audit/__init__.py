"""The audit: proof of the outcome of every record."""

from driftline.audit.proof import audit
from driftline.audit.report import AuditReport, Difference, StreamCounts

__all__ = ["AuditReport", "Difference", "StreamCounts", "audit"]

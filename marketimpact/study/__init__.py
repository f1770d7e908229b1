"""A study and its result."""

from marketimpact.study.event_study import EventStudy
from marketimpact.study.result import StudyResult

__all__ = ["EventStudy", "StudyResult"]

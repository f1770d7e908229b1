"""Check that an argument is one of the package's own objects, before its first attribute is missed."""

from __future__ import annotations

from marketimpact.errors import SpecificationError

__all__ = ["require"]

#: Class -> where an object of it comes from.
ORIGINS = {
    "Market": "what mi.Market.load or mi.Market.from_returns returns",
    "StudyResult": "what mi.EventStudy().run returns",
    "EventStudy": "an event study, such as mi.EventStudy(event_window=(0, 1))",
    "Bars": "what mi.Bars.load returns",
}


def require(value: object, kind: str, name: str) -> None:
    """Stop at an argument that is not of one of the package's classes, named so that no room needs to import it.

    Raises
    ------
    SpecificationError
        With what was given, and where an object of the class comes from.
    """
    if kind not in {base.__name__ for base in type(value).__mro__}:
        article = "an" if kind[0] in "AEIO" else "a"
        given = f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
        raise SpecificationError(f"{name} is {given}, not {article} {kind}. Give {ORIGINS[kind]}.")

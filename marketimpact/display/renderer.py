"""Draw charts as SVG with vl-convert, and refuse input that would crash this process inside it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from marketimpact.display.formats import clean_text
from marketimpact.errors import SpecificationError

__all__ = ["require_renderer", "svg_and_spec", "svg_to_png", "to_png", "to_svg", "vega_script"]

#: Bytes of address space that the JavaScript engine reserves when it starts, most of them never used: it ended a
#: process limited to 61 GiB, and ran in one limited to 69 GiB.
ADDRESS_SPACE = 70 * 2**30


def require_renderer() -> None:
    """Check that charts can be drawn in this process, before minutes of work.

    Raises
    ------
    SpecificationError
        Where the address space of the process is limited (``ulimit -v``): the engine would end the process.
    """
    limit = _address_space_limit()
    if limit is not None and limit < ADDRESS_SPACE:
        raise SpecificationError(
            f"The address space of this process is limited to {limit / 2**30:.3g} GiB (ulimit -v), and the engine that "
            f"draws charts reserves {ADDRESS_SPACE / 2**30:.0f} GiB, most of it never used. Start without that limit, "
            "or limit memory otherwise, such as with systemd-run -p MemoryMax=...; tables need no charts."
        )


def to_svg(chart: Any) -> str:
    """Draw an Altair chart or Vega-Lite as SVG: the same bytes every time, without external references."""
    return _draw(_spec(chart))


def to_png(chart: Any) -> bytes:
    """Draw an Altair chart or Vega-Lite as PNG, at twice its size in pixels."""
    import vl_convert  # noqa: PLC0415

    require_renderer()
    return bytes(vl_convert.vegalite_to_png(_spec(chart), scale=2))


def svg_to_png(svg: str) -> bytes:
    """Draw SVG as PNG, at three times its size in pixels: the same bytes every time, which its PDF has not."""
    import vl_convert  # noqa: PLC0415

    require_renderer()
    return bytes(vl_convert.svg_to_png(svg, scale=3))


def svg_and_spec(chart: Any) -> tuple[str, str]:
    """Draw an Altair chart or Vega-Lite as SVG, and write it as JSON that is safe inside an HTML script element."""
    spec = _spec(chart)
    text = json.dumps(spec, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return _draw(spec), text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def vega_script() -> str:
    """Bundle Vega, Vega-Lite and Vega-Embed as one script that defines ``vegaEmbed`` and fetches nothing."""
    import vl_convert  # noqa: PLC0415

    require_renderer()
    return str(vl_convert.javascript_bundle())  # type: ignore[call-arg]  # the stub is wrong


def _address_space_limit() -> int | None:
    """Return the bytes of ``ulimit -v``; None where the address space is not limited."""
    try:
        import resource  # noqa: PLC0415  # absent on Windows
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _draw(spec: dict[str, Any]) -> str:
    import vl_convert  # noqa: PLC0415

    require_renderer()
    return str(vl_convert.vegalite_to_svg(spec))


def _spec(chart: Any) -> dict[str, Any]:
    """Write a chart as Vega-Lite with clean texts."""
    spec: dict[str, Any] = _clean(chart if isinstance(chart, dict) else chart.to_dict(validate=False))
    return spec


def _clean(value: Any) -> Any:
    """Clean every text of a specification: a control character in one of them ends the process."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(key): _clean(each) for key, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, list) else value

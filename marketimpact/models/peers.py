"""Models that explain a security by others that the announcement did not affect, its donors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from marketimpact.core.text import listed
from marketimpact.core.whole_numbers import is_number, is_whole
from marketimpact.errors import SpecificationError
from marketimpact.models.linear import Design, terms
from marketimpact.models.peer_fits import FOLDS, components_text, peer_mean, ridge_peers, statistical_factors

__all__ = ["PeerMean", "RidgePeers", "StatisticalFactors", "allowed_symbols", "donor_symbols"]


@dataclass(frozen=True, slots=True)
class PeerMean:
    """Benchmark and the mean return of donors: ``E R = a + b Rm + c (mean of the donors' returns)``.

    Abnormal returns are effects relative to the peers: what reached the donors as well is subtracted.

    Parameters
    ----------
    donors : sequence of str
        Securities of the market that the announcement did not affect, chosen before looking at returns.
    allow : sequence of str
        Donors to use although they are treated by the event, are another listing of its firm, or a fund or index that
        may hold it.
    match_sessions : bool
        Whether to use donors of exchanges with other hours. A session of the event's exchange is then matched with the
        donor's sessions that closed since the close before and no later than its own.

    Raises
    ------
    SpecificationError
        For donors that are no list of distinct symbols, and an `allow` that names others.

    Notes
    -----
    Degrees of freedom M - 3. For each event a donor is left out that is treated by it (a target of the announcement, or
    a security with an event of its own whose event window overlaps), that is another listing of the firm, a fund or
    index, that trades at other hours (without `match_sessions`), or that lacks a return in the event window or a fifth
    of those in the estimation window, or moves exactly with the benchmark; `StudyResult.donors` lists them all. A fund
    or index is recognised where a security of the market or of `mi.securities()` names it as ``benchmark``,
    ``sector_proxy`` or ``leg_benchmark``, where its own name or role says so (ETF, fund, index), where its symbol
    begins with ``^``, and if it is widely held (SPY, QQQ, SMH, 2800.HK); others are not recognised. An event without
    any donor goes to attrition (*no_donors*). A donor's missing day is filled by what its first principal component
    with the other donors says. A matched donor whose exchange has closed before the announcement prices none of its
    day. Not to be used when the announcement reached the donors, since their own reaction is then subtracted.

    Examples
    --------
    >>> import marketimpact as mi
    >>> mi.PeerMean(("MSFT", "GOOGL", "AMZN")).name
    'peer_mean(3 donors)'
    """

    donors: tuple[str, ...]
    allow: tuple[str, ...] = ()
    match_sessions: bool = False

    def __post_init__(self) -> None:
        _set_donors(self)

    @property
    def name(self) -> str:
        """Return ``peer_mean`` with the number of donors."""
        return f"peer_mean({_counted(self.donors)})"

    @property
    def design(self) -> Design:
        """Return the regression on a constant, the benchmark and the mean of the donors."""
        return Design(
            terms("market"),
            estimator=peer_mean,
            donors=self.donors,
            allowed_donors=self.allow,
            donor_parameters=1,
            match_sessions=self.match_sessions,
        )


@dataclass(frozen=True, slots=True)
class StatisticalFactors:
    """Benchmark and principal components of the donors' residual returns, their unnamed common factors.

    Abnormal returns are effects relative to the peers: what reached the donors as well is subtracted.

    Parameters
    ----------
    donors : sequence of str
        As in `PeerMean`.
    components : "cv" or int
        Number of components; ``"cv"``: the number, of at most 8, that forecasts left-out blocks of estimation days
        best.
    allow, match_sessions
        As in `PeerMean`.

    Raises
    ------
    SpecificationError
        As for `PeerMean`, and for more components than donors. `EventStudy` refuses more than four fifths of
        `min_observations` can carry.

    Notes
    -----
    Degrees of freedom M - 2 - number of components. Every donor's return less what the benchmark explains is scaled to
    variance one; loadings are those of the event's own estimation window, and the donors' returns of an event day give
    the components of that day. ``sigma`` is the root mean square of forecast errors of left-out fifths of the window,
    each over the root of one plus its leverage, so that it counts that loadings and number were estimated. Connor and
    Korajczyk (1986) for components of returns. Donors are left out as in `PeerMean`, and it is not to be used in the
    same cases.

    Examples
    --------
    >>> import marketimpact as mi
    >>> mi.StatisticalFactors(("MSFT", "GOOGL", "AMZN"), components=2).name
    'statistical_factors(2 components, 3 donors)'
    """

    donors: tuple[str, ...]
    components: int | Literal["cv"] = "cv"
    allow: tuple[str, ...] = ()
    match_sessions: bool = False

    def __post_init__(self) -> None:
        _set_donors(self)
        if self.components == "cv":
            return
        if not is_whole(self.components) or self.components < 1:
            raise SpecificationError(f"components={self.components!r}: give a whole number of at least 1, or 'cv'.")
        object.__setattr__(self, "components", int(self.components))
        if self.components > len(self.donors):
            raise SpecificationError(
                f"components={self.components} of {_counted(self.donors)}: there are no more components than donors. "
                "Take fewer, or name more donors."
            )

    @property
    def name(self) -> str:
        """Return ``statistical_factors`` with the number of components and donors."""
        number = "cv" if self.components == "cv" else f"{self.components}"
        return f"statistical_factors({number} component{'s' * (number != '1')}, {_counted(self.donors)})"

    @property
    def design(self) -> Design:
        """Return the regression on a constant, the benchmark and the components."""
        fixed = None if self.components == "cv" else int(self.components)
        return Design(
            terms("market"),
            estimator=partial(statistical_factors, components=fixed),
            donors=self.donors,
            allowed_donors=self.allow,
            donor_parameters=fixed or 1,
            fewest_donors=fixed or 1,
            match_sessions=self.match_sessions,
            folds=FOLDS,
            explain=partial(components_text, components=fixed),
        )


@dataclass(frozen=True, slots=True)
class RidgePeers:
    """Benchmark and every donor's residual return, with coefficients shrunk to zero (ridge regression).

    Abnormal returns are effects relative to the peers: what reached the donors as well is subtracted.

    Parameters
    ----------
    donors : sequence of str
        As in `PeerMean`.
    penalty : "cv" or float
        Sum of squares that is added to each donor's, over the number of estimation days, where residual returns are
        scaled to variance one; ``"cv"``: of ten from 0.01 to 10 the one that forecasts left-out blocks of days best.
    allow, match_sessions
        As in `PeerMean`.

    Raises
    ------
    SpecificationError
        As for `PeerMean`, and for a penalty that is no number above zero.

    Notes
    -----
    Degrees of freedom M - 2 - the effective number of coefficients, rounded down. ``sigma`` is the root mean square of
    forecast errors of left-out fifths of the window, each over the root of one plus its leverage, so that it counts the
    shrinkage. Hoerl and Kennard (1970). Donors are left out as in `PeerMean`, and it is not to be used in the same
    cases.

    Examples
    --------
    >>> import marketimpact as mi
    >>> mi.RidgePeers(("MSFT", "GOOGL", "AMZN"), penalty=0.5).name
    'ridge_peers(penalty 0.5, 3 donors)'
    """

    donors: tuple[str, ...]
    penalty: float | Literal["cv"] = "cv"
    allow: tuple[str, ...] = ()
    match_sessions: bool = False

    def __post_init__(self) -> None:
        _set_donors(self)
        if self.penalty == "cv":
            return
        if not is_number(self.penalty) or not 0 < self.penalty < float("inf"):
            raise SpecificationError(f"penalty={self.penalty!r}: give a number above zero, or 'cv'.")
        if not isinstance(self.penalty, int):  # a number of numpy is written like one of Python
            object.__setattr__(self, "penalty", float(self.penalty))

    @property
    def name(self) -> str:
        """Return ``ridge_peers`` with the penalty and the number of donors."""
        penalty = "cv" if self.penalty == "cv" else f"penalty {self.penalty:g}"
        return f"ridge_peers({penalty}, {_counted(self.donors)})"

    @property
    def design(self) -> Design:
        """Return the regression on a constant, the benchmark and the shrunk donors."""
        return Design(
            terms("market"),
            estimator=partial(ridge_peers, penalty=None if self.penalty == "cv" else float(self.penalty)),
            donors=self.donors,
            allowed_donors=self.allow,
            donor_parameters=1,
            match_sessions=self.match_sessions,
            folds=FOLDS,
        )


def donor_symbols(given: object, name: str) -> tuple[str, ...]:
    """Return donors as a tuple; raise SpecificationError for what is no list of distinct symbols, and for none."""
    symbols = _symbols(given, name)
    if not symbols:
        raise SpecificationError(f"{name} is empty: name securities that the announcement did not affect.")
    return symbols


def allowed_symbols(given: object, donors: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return the donors of an option ``allow`` as a tuple; raise SpecificationError where it names others."""
    symbols = _symbols(given, "allow")
    others = [each for each in symbols if each not in donors]
    if others:
        raise SpecificationError(
            f"allow names {listed(others)}, which is not among {name}. Add it to {name}, or drop it."
        )
    return symbols


def _symbols(given: object, name: str) -> tuple[str, ...]:
    if isinstance(given, str):
        raise SpecificationError(
            f"{name}={given!r} is text, which would be read letter by letter. Give a list of symbols, such as "
            f'["{given}"].'
        )
    symbols = tuple(given) if isinstance(given, Iterable) else ()
    if not isinstance(given, Iterable) or not all(isinstance(each, str) and each for each in symbols):
        raise SpecificationError(f"{name}={given!r} is no list of symbols. Write them as in the market's securities.")
    repeated = sorted({each for each in symbols if symbols.count(each) > 1})
    if repeated:
        raise SpecificationError(f"{name} has {listed(repeated)} twice. Give each symbol once.")
    return symbols


def _set_donors(model: PeerMean | StatisticalFactors | RidgePeers) -> None:
    """Check `donors` and `allow`, and keep them as tuples."""
    object.__setattr__(model, "donors", donor_symbols(model.donors, "donors"))
    object.__setattr__(model, "allow", allowed_symbols(model.allow, model.donors, "donors"))
    if not isinstance(model.match_sessions, bool):
        raise SpecificationError(f"match_sessions={model.match_sessions!r} must be True or False.")


def _counted(donors: tuple[str, ...]) -> str:
    return f"{len(donors)} donor{'s' * (len(donors) != 1)}"

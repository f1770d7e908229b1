"""Average cross-correlation of events (Kolari and Pynnönen 2010), from sums over events instead of pairs of events.

Let u_i be the estimation-window residuals of event i, centred and scaled to length 1 on the days it shares with
event j. Their correlation is the product r_ij = u_i . u_j. Events of one exchange and one day 0 have the same days, a
*day pattern*, so that for two day patterns A and B::

    sum of r_ij over i in A and j in B  =  (sum of u_i over A) . (sum of u_j over B)
    sum of r_ij over pairs within A     =  (|sum of u_i over A|^2 - number of events in A) / 2

These are N additions of vectors instead of N (N - 1) / 2 correlations. Only where events of one exchange and day 0 miss
different days does every pair have days of its own, and is correlated by itself.

* `by_pairs`: the definition, as a plain loop over all pairs; tests compare everything else with it.
* `day_patterns`: which events have the same days.
* `overlap`: which day patterns have days of the event window in common, and how many.
* `standardised`: sums of u over the events of a day pattern.
* `missing_days`: sums of correlations where events miss different days, pair by pair.
* `pairs`: sums of correlations of any two day patterns, each computed once.
"""

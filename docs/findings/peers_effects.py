"""Compute the tables of peers.md on effects: H20 and policy under a peer model beside the market model.

The rule, written and committed before it was run on these prices. Effects by the market model of h20.md and policy.md,
and the detectable effects and rejection rates of peers.md, were known; no effect with donors was.

* Announcements: of H20, 2025-08-12-beijing-discourages-h20; of policy, those of the table of detectable effects, whose
  day 0 is sure on the exchange (`peer_groups.sure_events`).
* Groups and donors: those of that table (`peer_groups.cells`).
* Models: the market model, and `mi.StatisticalFactors(donors)`, the page's primary peer model, for the same events.
* Test: `filtered_placebo_t`, two-sided at 5%, on [0, 1]. Where it is not valid there is no p, and the reason is shown.
* Families: for H20, Holm over the groups with a valid test, by model. For policy, Holm over all pairs of group and
  announcement whose test is valid under both models, by model, so that both families have the same pairs.
* Means: by group, over US restrictive announcements, of the events that both models have, by the primary test that the
  written rule of the package chooses; Holm over the groups with a valid test, by model.
* A finding is a p below 0.05 after Holm under the peer model. All groups are shown, whatever they give.
"""

"""Procedures beside the study: groups, timing, confounding, counterfactuals, randomisation, power, specifications."""

"""Run one statsmodels regression per event on returns that pandas makes of a price file."""

import file_given
import statsmodels.api as sm
from file_given import BENCHMARK


def estimate(returns, events):
    cars = []
    for symbol, date in zip(events["symbol"], events["date"], strict=True):
        day = returns.index.get_loc(date)
        pair = returns[[symbol, BENCHMARK]]
        before, around = pair.iloc[day - 250 : day - 10].dropna(), pair.iloc[day - 5 : day + 6].dropna()
        alpha, beta = sm.OLS(before[symbol], sm.add_constant(before[BENCHMARK])).fit().params
        cars.append((around[symbol] - alpha - beta * around[BENCHMARK]).sum())
    return cars


file_given.answer(file_given.wide_returns, estimate)

"""Thresholds that keep a target on new queries, with a stated confidence.

A threshold is taken only if queries that just miss the target would hardly ever look as good by chance: by an
exact binomial test. Thresholds are tested in an order that is fixed before, until the first that fails; then
all that passed hold together with the stated confidence, however many were tested. Where none passes, no
promise is made; that counts as a draw in which none is broken.

References:
    Angelopoulos, Bates, Candès, Jordan and Lei, Learn then Test: Calibrating Predictive Algorithms to Achieve
    Risk Control, 2021 (fixed sequence testing, and its split variant). https://arxiv.org/abs/2110.01052
    Clopper and Pearson, The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial,
    1934 (exact binomial bounds).
    Wilks, Determination of Sample Sizes for Setting Tolerance Limits, 1941 (order statistics: shares that
    only rise with the threshold need no split).
"""

import numpy as np
from scipy.special import betainc

from simnb.calibration.curves import Curves

#: Metrics that are shares of queries that do not depend on one another, so that a binomial test is exact.
PROMISED = ("precision", "false_acceptance", "accuracy", "recall", "coverage")
#: Those that only rise with the threshold.
_RISING = ("false_acceptance", "recall", "coverage")
#: Share of the queries that choose which thresholds are tested, where precision or accuracy is promised.
SPLIT = 0.2


def promised(goal, confidence, queries, seed):
    """Thresholds that keep the target of ``goal`` with this confidence, ascending; perhaps none.

    ``queries`` are what ``Curves.count`` takes; ``seed`` is that of their split.
    """
    alpha = 1 - confidence
    if goal.metric in _RISING:
        curves = Curves.count(*queries)
        passed = _p_values(goal, curves) <= alpha
        if goal.metric == "false_acceptance":
            passed[0] = True  # who rejects everything accepts no unknown query, whatever comes
        return curves.threshold[passed]
    # Neither precision nor accuracy need rise or fall: a part of the queries says where the test starts.
    first = np.zeros(len(queries[0]), bool)
    order = np.random.default_rng(seed).permutation(len(first))
    first[order[: round(SPLIT * len(first))]] = True
    chooser = Curves.count(*(part[first] for part in queries))
    tester = Curves.count(*(part[~first] for part in queries))
    if len(chooser) < 2:
        return chooser.threshold[:0]
    start = 1 + int(np.argmin(_p_values(goal, chooser, scale=(1 - SPLIT) / SPLIT)[1:]))
    tested = chooser.threshold[start:]
    at = np.searchsorted(tester.distances, tested, side="right")
    failed = np.flatnonzero(_p_values(goal, tester)[at] > alpha)
    return tested[: failed[0]] if len(failed) else tested


def fewest(goal, confidence):
    """What a promise takes at least, in words."""
    share = 1 - goal.target if goal.metric == "false_acceptance" else goal.target
    if share >= 1:
        return "no number of queries can promise that there is never an exception"
    count = 1 if share <= 0 else np.log(1 - confidence) / np.log(share)
    if goal.metric not in _RISING:
        count = count / (1 - SPLIT)
    kind = {"false_acceptance": "unknown queries, all rejected", "precision": "answers, all of them right"}
    kind = kind.get(goal.metric, "queries, all of them right")
    return f"such a promise takes at least about {np.ceil(count):.0f} {kind}"


def _p_values(goal, curves, scale=1.0):
    """Probability of what was counted, or better, where the target is only just missed: one a candidate.

    ``scale`` is how many times as many queries the counts are to stand for.
    """
    a, w, _, u, v = (scale * np.asarray(count, np.float64) for count in curves.counts)
    known = np.full(len(curves), scale * curves.num_known)
    if goal.metric == "false_acceptance":
        return _at_least(v, u + v, 1 - goal.target)  # as many rejected or more
    hits, of = {
        "precision": (a, a + w + u),
        "accuracy": (a + v, known + u + v),
        "recall": (a, known),
        "coverage": (a + w, known),
    }[goal.metric]
    return _at_least(hits, of, goal.target)


def _at_least(hits, of, share):
    """P(X >= hits) of a binomial X, at a share that is only just too small; 1 where there is no hit."""
    # The beta distribution is the binomial's sum, also between whole numbers.
    if share == 0:  # which nothing misses
        return np.zeros(len(hits))
    result = np.ones(len(hits))
    some = hits > 0
    result[some] = betainc(hits[some], (of - hits + 1)[some], share)
    return result

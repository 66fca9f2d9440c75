"""Short adverts of no usual length, and a cut of programme that is a usual advert's length from a break's beginning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cliplab.detect import Observations, decide_breaks

# Of a recording of 41 s with four adverts of 4 s from 12.4 s on, as a model of frames scores it.
SCORES = (
    *(0.46, 0.46, 0.46, 0.31, 0.18, 0.14, 0.11, 0.10, 0.02, 0.02, 0.03, 0.02, 0.66, 0.98),
    *(0.98, 0.99, 0.92, 1.00, 1.00, 1.00, 0.94, 0.99, 0.99, 0.98, 0.59, 1.00, 1.00, 1.00),
    *(0.36, 0.03, 0.04, 0.04, 0.20, 0.38, 0.39, 0.40, 0.39, 0.08, 0.08, 0.08, 0.04, 0.04),
)
CUTS = (4.4, 8.2, 12.4, 16.4, 20.4, 24.4, 28.4, 32.6, 37.0)
STRENGTHS = (0.56, 0.56, 1.0, 0.7, 0.51, 0.7, 1.0, 0.73, 0.54)
# Of the cuts that were seen from one key frame to the next alone.
SLACK = (0, 0, 0, 1.0, 0, 1.0, 0, 0, 0)
LOUDNESS = (
    *(np.nan, np.nan, 0.1, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9, 1.0, 0.9, 0.7, 0.6, 0.5, 0.4, 0.3, 0.1, 0.0),
    *(0.1, 0.2, 0.4, 0.5, 0.6, 0.7, 0.9, 1.0, 0.9, 0.8, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0, 0.0, np.nan, np.nan, np.nan),
)


def recording(later: float) -> Observations:
    """The programme's cut after the break comes ``later`` seconds after the break's beginning."""
    cuts = np.array(CUTS)
    cuts[7] = cuts[2] + later
    return Observations(
        times=np.arange(len(SCORES), dtype=float),
        ad_scores=np.array(SCORES, np.float32),
        rows={"loudness_jump": np.array(LOUDNESS, np.float32)},
        cuts=cuts,
        cut_strength=np.array(STRENGTHS, np.float32),
        cut_kinds=("shot",) * len(cuts),
        cut_slack=np.array(SLACK, np.float32),
        duration_seconds=41.2,
    )


@pytest.mark.parametrize("later", [18.0, 20.0, 20.32, 21.3])
def test_a_length_that_fits_by_chance_does_not_outweigh_the_scores(later: float) -> None:
    (found,) = decide_breaks(recording(later))
    assert (found.start_seconds, found.end_seconds) == (12.4, 28.4)
    assert found.confidence > 0.8
    # What was considered is said, and an end that two decisions share is no surer than both together.
    assert all(found.start_seconds != each.start_seconds or found.end_seconds != each.end_seconds
               for each in found.alternatives)  # fmt: skip
    assert 0 < found.end_confidence <= 1


def test_a_cut_that_is_known_loosely_fits_no_length() -> None:
    """With the cut at 32.6 s known to a second, 20.2 s say next to nothing, and its end is less likely."""
    exact = recording(20.2)
    slack = exact.cut_slack.copy()
    slack[7] = 1.0
    (sure,), (loose,) = decide_breaks(exact), decide_breaks(replace(exact, cut_slack=slack))
    assert loose.end_seconds == 28.4
    assert loose.end_confidence > sure.end_confidence + 0.05

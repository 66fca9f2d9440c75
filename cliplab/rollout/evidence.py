"""Whether a group of devices has more events than another: an e-value that may be looked at after each report.

Model. Device i of a group has x_i events in an exposure e_i (predictions, reports, ...). Its rate is r g_i, with g_i
drawn from a gamma distribution of mean 1 and variance d (negative binomial counts: Greenwood and Yule 1920), or the
device is broken for reasons of its own, with a small probability and any higher rate. d and that probability are
fitted to the control group, d at the upper end of what its likelihood allows. So what differs between devices is not
taken for the candidate's fault, and a broken camera has little weight.

Evidence. With L_c(r) and L_t(r) the likelihoods of control and candidate, and the ratio m of their rates,

    J(m) = sum over r of L_c(r) L_t(m r)        (r evenly spaced in log r)
    e = mean over alternatives m of J(m) / J(1)

is a Bayes factor in which the common rate is integrated out under the prior that does not depend on its unit. Such
Bayes factors are e-values at any stopping time (Hendriksen, de Heide and Gruenwald, "Optional stopping with Bayes
factors", Bayesian Analysis 2021; Ramdas, Gruenwald, Vovk and Shafer, "Game-theoretic statistics and safe anytime-
valid inference", Statistical Science 2023): under "no difference" the probability that e ever reaches 1/a is at most
a (Ville 1939). Without differences between devices it is the mixture test of counts in canaries of Lindon and Malek
("Anytime-valid inference for multinomial count data", NeurIPS 2022). d, the share of broken devices and the centre of
r are estimates, so the bound is approximate: benchmarks/bench_rollout.py measures it.

No single device decides: the evidence is the smaller of that of all candidate devices and that without the one that
speaks most against the candidate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

STEP = 0.1  # of log rates; the alternatives are at least four steps apart from "no difference"
_RATE_STEPS = 21  # the common rate within a factor of 8 of its estimate
_DOWN, _UP = 35, 58  # ratios from 1/33 to 330
_DISPERSIONS = (0.003, 0.03, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
_LIKELY = 2.0  # log likelihood below the best at which a dispersion is still possible
_BROKEN_TIMES = np.array([4.0, 16.0, 64.0, 256.0])
_LEAST_BROKEN, _MOST_BROKEN = 0.005, 0.2
# A device counts at most for this many usual devices: one that claims ten million predictions is one device.
_MOST_EXPOSURE = 20.0
WORSE = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0)
DIFFERENT = (1 / 10.0, 1 / 5.0, 1 / 3.0, 1 / 2.0, 1 / 1.5, 1.5, 2.0, 3.0, 5.0, 10.0)


@dataclass(frozen=True)
class Counts:
    """Events and exposures of the devices of a group.

    Attributes:
        events: float64 [N], at least 0.
        exposure: float64 [N], above 0.
    """

    events: FloatArray
    exposure: FloatArray

    @classmethod
    def of(cls, events: npt.ArrayLike, exposure: npt.ArrayLike) -> Counts:
        """Counts of devices that have any exposure, none of it far above the usual.

        Args:
            events: [N].
            exposure: [N].
        """
        x, e = np.asarray(events, np.float64), np.asarray(exposure, np.float64)
        x, e = x[e > 0], e[e > 0]
        if len(e):
            scale = np.minimum(1.0, _MOST_EXPOSURE * np.median(e) / e)
            x, e = x * scale, e * scale
        return cls(x, e)


@dataclass(frozen=True)
class Control:
    """The control group's rate and how much its devices differ.

    Attributes:
        rate: Events per unit of exposure of devices that are not broken.
        dispersion: The variance of the devices' factors, at the upper end of what is likely.
        broken: The share of broken devices.
        most: The highest rate that is possible, 1 for shares.
        likelihood: float64 [R], log L_c at the rates around ``rate``.
        devices: How many devices it has.
        events: Their events.
        exposure: Their exposure.
    """

    rate: float
    dispersion: float
    broken: float
    most: float
    likelihood: FloatArray
    devices: int
    events: float
    exposure: float

    @property
    def rates(self) -> FloatArray:
        """The rates at which a candidate's likelihood is needed."""
        steps = np.arange(-_RATE_STEPS - _DOWN, _RATE_STEPS + _UP + 1)
        return np.asarray(np.minimum(self.rate * np.exp(STEP * steps), self.most))


@dataclass(frozen=True)
class Evidence:
    """What a comparison says at one moment.

    Attributes:
        log_e: The logarithm of the e-value against "no worse" (or "no difference"), without the device that speaks most
            against the candidate where that is smaller.
        log_safe: The logarithm of the e-value against "worse by the ratio that matters", for widening.
        ratio: The most likely ratio of candidate's to control's rate.
        low: The lower end of its 95% confidence sequence.
        high: The upper end.
        devices: Candidate devices.
        events: Their events.
        exposure: Their exposure.
    """

    log_e: float
    log_safe: float
    ratio: float
    low: float
    high: float
    devices: int
    events: float
    exposure: float


def fit_control(counts: Counts, most: float = 1.0) -> Control | None:
    """The rate of a control group, and how much its devices differ.

    Args:
        counts: Its devices.
        most: The highest rate that is possible.

    Returns:
        None where it has no exposure.
    """
    x, e = counts.events, counts.exposure
    if not len(e):
        return None
    fits = [_fit_at(x, e, dispersion, most) for dispersion in _DISPERSIONS]
    best = max(fit[0] for fit in fits)
    # No events at all fit any dispersion; then the middle one is taken, since the largest would explain anything.
    likely = [place for place, fit in enumerate(fits) if fit[0] >= best - _LIKELY]
    chosen = likely[-1] if x.sum() > 0 else _DISPERSIONS.index(1.0)
    _, rate, broken = fits[chosen]
    found = Control(rate, _DISPERSIONS[chosen], broken, most, np.zeros(0), len(e), float(x.sum()), float(e.sum()))
    middle = found.rates[_DOWN : _DOWN + 2 * _RATE_STEPS + 1]
    likelihood = device_rows(counts, found, middle).sum(axis=0)
    return Control(rate, _DISPERSIONS[chosen], broken, most, likelihood, len(e), float(x.sum()), float(e.sum()))


def device_rows(counts: Counts, control: Control, rates: FloatArray | None = None) -> FloatArray:
    """Each device's log likelihood by rate.

    Args:
        counts: N devices.
        control: What devices are like.
        rates: [G]; None takes those that ``weigh`` needs.

    Returns:
        float64 [N, G].
    """
    at = control.rates if rates is None else rates
    # An exposure of 0 says nothing, without a warning.
    x, e = counts.events[:, None], np.maximum(counts.exposure[:, None], 1e-200)
    usual = _negative_binomial(x, e * at, 1.0 / control.dispersion) + math.log1p(-control.broken)
    return np.asarray(np.logaddexp(usual, _broken(x, e, control.rate, control.most) + math.log(control.broken)))


def weigh(
    rows: FloatArray, counts: Counts, control: Control, ratios: tuple[float, ...] = WORSE, matters: float = 3.0
) -> Evidence:
    """Compare candidate devices with the control group.

    Args:
        rows: By ``device_rows`` for the candidate devices.
        counts: The candidate devices.
        control: The control group.
        ratios: The alternatives; ``DIFFERENT`` for both directions.
        matters: The ratio whose absence lets a rollout widen.
    """
    total = rows.sum(axis=0)
    joint = _joint(total, control)
    steps = np.arange(-_DOWN, _UP + 1)
    places = [_DOWN + round(math.log(ratio) / STEP) for ratio in ratios]
    log_e = _mixture(joint, places)
    if len(rows) >= 2:
        at = places[int(np.argmax(joint[places]))]
        loudest = int(np.argmax(rows[:, _RATE_STEPS + at] - rows[:, _RATE_STEPS + _DOWN]))
        log_e = min(log_e, _mixture(_joint(total - rows[loudest], control), places))
    else:
        log_e = min(log_e, 0.0)
    log_safe = float(joint[_DOWN] - joint[_DOWN + round(math.log(matters) / STEP)])
    # The ratios that a mixture over all ratios does not reject at 5%: a confidence sequence (Robbins 1970).
    inside = np.flatnonzero(_log_sum(joint) - math.log(len(joint)) - joint < math.log(20.0))
    ends = np.exp(STEP * steps[inside[[0, -1]]]) if len(inside) else (1.0, 1.0)
    return Evidence(
        log_e,
        log_safe,
        float(np.exp(STEP * steps[int(np.argmax(joint))])),
        float(ends[0]),
        float(ends[1]),
        len(rows),
        float(counts.events.sum()),
        float(counts.exposure.sum()),
    )


def compare(
    candidate: Counts,
    control: Control,
    ratios: tuple[float, ...] = WORSE,
    matters: float = 3.0,
) -> Evidence | None:
    """``weigh`` for counts that are not kept as rows.

    Args:
        candidate: The candidate devices.
        control: The control group.
        ratios: The alternatives.
        matters: The ratio whose absence lets a rollout widen.

    Returns:
        None where the candidate has no exposure.
    """
    if not len(candidate.exposure):
        return None
    return weigh(device_rows(candidate, control), candidate, control, ratios, matters)


def log_mean(values: list[float]) -> float:
    """The logarithm of the mean of e-values given by logarithms: an e-value too, however they depend on each other.

    Vovk and Wang, "E-values: calibration, combination and applications", Annals of Statistics 2021.

    Args:
        values: Logarithms of e-values, at least one.
    """
    return _log_sum(np.array(values)) - math.log(len(values))


def _joint(total: FloatArray, control: Control) -> FloatArray:
    """log J at each ratio [_DOWN + 1 + _UP]."""
    width = 2 * _RATE_STEPS + 1
    windows = np.lib.stride_tricks.sliding_window_view(total, width) + control.likelihood
    peak = windows.max(axis=1)
    return np.asarray(peak + np.log(np.exp(windows - peak[:, None]).sum(axis=1)))


def _mixture(joint: FloatArray, places: list[int]) -> float:
    return _log_sum(joint[places]) - math.log(len(places)) - float(joint[_DOWN])


def _log_sum(values: FloatArray) -> float:
    peak = float(values.max())
    return peak + math.log(float(np.exp(values - peak).sum()))


def _fit_at(x: FloatArray, e: FloatArray, dispersion: float, most: float) -> tuple[float, float, float]:
    """(log likelihood, rate, share of broken devices) by expectation maximisation for one dispersion."""
    shape = 1.0 / dispersion
    rate, broken = min((float(x.sum()) or 0.5) / float(e.sum()), most), 0.02
    # A start from the middle of the devices, so that a few broken ones do not set the rate.
    typical = float(np.median(x / e))
    if typical > 0:
        rate = min(typical, rate)
    score = 0.0
    for _ in range(6):
        usual = _negative_binomial(x, e * rate, shape) + math.log1p(-broken)
        other = _broken(x, e, rate, most) + math.log(broken)
        both = np.logaddexp(usual, other)
        score = float(both.sum())
        whole = np.exp(usual - both)
        events, exposure = float((whole * x).sum()), float((whole * e).sum())
        rate = min((events or 0.5) / max(exposure, 1e-9), most)
        broken = min(max(1.0 - float(whole.mean()), _LEAST_BROKEN), _MOST_BROKEN)
    return score, rate, broken


def _broken(x: FloatArray, e: FloatArray, rate: float, most: float) -> FloatArray:
    """Log likelihood of a broken device: geometric counts around several higher rates."""
    means = e[..., None] * np.minimum(rate * _BROKEN_TIMES, most)
    logs = x[..., None] * np.log(means / (1.0 + means)) - np.log1p(means)
    peak = logs.max(axis=-1)
    return np.asarray(peak + np.log(np.exp(logs - peak[..., None]).mean(axis=-1)))


def _negative_binomial(x: FloatArray, mean: FloatArray, shape: float) -> FloatArray:
    constant = log_gamma(x + shape) - log_gamma(np.array(shape)) - log_gamma(x + 1.0)
    return np.asarray(constant + x * np.log(mean / (shape + mean)) - shape * np.log1p(mean / shape))


def log_gamma(values: FloatArray) -> FloatArray:
    """The logarithm of the gamma function, by Stirling's series after three steps of its recurrence (error below 1e-7).

    Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 6.1.15 and 6.1.41.

    Args:
        values: Above 0.
    """
    z = values + 3.0
    series = (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * z * z)) / (z * z)) / z
    stirling = (z - 0.5) * np.log(z) - z + 0.5 * math.log(2.0 * math.pi) + series
    return np.asarray(stirling - np.log(values * (values + 1.0) * (values + 2.0)))

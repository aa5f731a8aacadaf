"""exp, log1p and erfc are our own: within 3 ulp of the truth for every argument, with the same bits in every lane
and at every level.
"""

import hashlib
import math

import mpmath
import numpy as np
import pytest
import reference
from conftest import LEVELS, elementary, every_dtype, run_at_level
from scipy import special

pytestmark = [pytest.mark.sanitizer, pytest.mark.clang, pytest.mark.arm64]

ULP = 3.0
NAMES = ("exp", "log1p", "erfc")
every_name = pytest.mark.parametrize("name", NAMES)

# Where the functions are neither a constant nor x to a rounding; exp and erfc become subnormal and then 0 there.
RANGES = {
    ("exp", np.float32): (-104.5, 89.0),
    ("exp", np.float64): (-746.0, 710.0),
    ("log1p", np.float32): (-1.0, 8.0),
    ("log1p", np.float64): (-1.0, 8.0),
    ("erfc", np.float32): (-5.0, 10.3),
    ("erfc", np.float64): (-7.0, 27.4),
}


def true_erfc(x):
    """mpmath's, which fails beyond 2^511; erfc(1000) = 10^-434298 is as far below every subnormal number."""
    return mpmath.erfc(min(x, 1000))


TRUTH = {"exp": mpmath.exp, "log1p": mpmath.log1p, "erfc": true_erfc}
IN_FLOAT64 = {"exp": np.exp, "log1p": np.log1p, "erfc": special.erfc}


def ours(name, x):
    x = np.ascontiguousarray(x)
    result = elementary(name, x)
    assert result.dtype == x.dtype
    assert result.shape == x.shape
    return result


# --------------------------------------------------------------------------------------------------
# Arguments
# --------------------------------------------------------------------------------------------------


def in_domain(name, x):
    return x[x > -1] if name == "log1p" else x


def even(name, dtype, count):
    return in_domain(name, np.random.default_rng(count).uniform(*RANGES[name, dtype], count).astype(dtype))


def of_every_binade(name, dtype, count):
    """Of each power of two, subnormals included and both signs: the first and the last number, `count` between."""
    info = np.finfo(dtype)
    unsigned = np.dtype(f"u{np.dtype(dtype).itemsize}").type
    normal = np.arange(1, 2 * info.maxexp - 1) << info.nmant
    first = np.concatenate([1 << np.arange(info.nmant), normal])
    length = np.concatenate([1 << np.arange(info.nmant), np.full(normal.size, 1 << info.nmant)])
    within = np.random.default_rng(count).random((first.size, count)) * length[:, None]
    between = first[:, None] + within.astype(np.int64)
    x = np.concatenate([first, first + length - 1, between.ravel()]).astype(unsigned).view(dtype)
    return in_domain(name, np.concatenate([x, -x]))


def boundaries(name, dtype):
    """Four numbers on either side of where the result or the way to it changes, and these themselves."""
    info = np.finfo(dtype)
    tiny = [s * float(info.eps) * 2.0**k for s in (-1, 1) for k in (-4, -3, -2, -1, 0, 1)]
    tiny += [s * float(number) for s in (-1, 1) for number in (info.smallest_subnormal, info.smallest_normal)]
    if name == "exp":
        # At odd halves of log(2) the power of two changes.
        halves = np.arange(2 * (info.maxexp + info.nmant + 2)) / 2 * math.log(2)
        low, high = {np.float32: (-104.0, 89.0), np.float64: (-746.0, 710.0)}[dtype]
        where = [*-halves, *halves, low, high]
    elif name == "log1p":
        # The power of two of 1 + x changes at sqrt(1/2) of each; beyond 1/eps, 1 + x is x.
        powers = [2.0**k * by for k in range(-info.nmant - 1, info.maxexp) for by in (math.sqrt(0.5), 1.0)]
        where = [power - 1 for power in powers] + powers
    else:
        # As in the header: the branch in the sum with its offset, the centre of its map, and the end of that. Then
        # where results become subnormal, 0, and for negative x 2.
        where = [1.5 / math.sqrt(2), *np.arange(0, 28, 0.25)]
        if dtype is np.float32:
            where += [3.5 / math.sqrt(2), 10.25, 9.194549449, 10.054194929, 3.919205844]
        else:
            where += [6.0 / math.sqrt(2), 27.3125, 26.543258454250982, 27.226017111108364, 5.921587195794507]
        where = [sign * x for sign in (-1, 1) for x in where]
    with np.errstate(over="ignore"):
        x = np.array([*where, *tiny, 0.0, float(info.max), -float(info.max)]).astype(dtype)
    x = x[np.isfinite(x)]
    around = [x]
    for side in (-np.inf, np.inf):
        step = x
        for _ in range(4):
            with np.errstate(over="ignore"):
                step = np.nextafter(step, dtype(side))
            around.append(step[np.isfinite(step)])
    return in_domain(name, np.unique(np.concatenate(around)))


def arguments(name, dtype, count, each):
    return np.concatenate(
        [even(name, dtype, count), of_every_binade(name, dtype, each), boundaries(name, dtype)]
    )


# --------------------------------------------------------------------------------------------------
# Errors
# --------------------------------------------------------------------------------------------------


def rounds_to_inf(dtype):
    """The least number that overflows when it is rounded: half an ulp above the largest."""
    with mpmath.workdps(60):
        largest = mpmath.mpf(float(np.finfo(dtype).max))
        return largest + reference.ulp(largest, dtype) / 2


def assert_three_ulp(name, x):
    """Against mpmath."""
    got = ours(name, x)
    overflows = rounds_to_inf(x.dtype.type)
    with mpmath.workdps(40):
        for each, result in zip(x.tolist(), got.tolist(), strict=True):
            want = TRUTH[name](mpmath.mpf(each))
            if want >= overflows:
                far = 0.0 if result == math.inf else math.inf
            elif math.isinf(result):
                far = math.inf
            else:
                far = reference.ulps_apart(result, want, x.dtype)
            assert far <= ULP, f"{name}({each!r}) is {result!r}, {far} ulp off"
            sign = math.copysign(1, each) if name == "log1p" else 1
            assert math.copysign(1, result) == sign, f"{name}({each!r}) is {result!r}"


# An ulp of the smallest normal float32 numbers and of all subnormal ones; what float32 rounds to infinity.
LEAST_ULP, OVERFLOWS = 2.0**-149, 2.0**128 - 2.0**103
# Of the oracle in float64, relative: 2^-21 ulp of a float32. `test_the_oracle_in_float64` checks it.
ORACLE_ERROR = 2.0**-45


def in_float64(name, x):
    """The function of float32 numbers, with a relative error of ORACLE_ERROR at most."""
    with np.errstate(all="ignore"):  # infinities, signalling NaNs, log1p below -1
        return IN_FLOAT64[name](x.astype(np.float64))


def float32_ulps(got, want):
    """How many ulp float32 results are off; NaN equals NaN, and an infinity itself or an overflow."""
    exponent_bits = want.view(np.uint64) & np.uint64(0x7FF0_0000_0000_0000)
    spacing = np.maximum(exponent_bits.view(np.float64) * 2.0**-23, LEAST_ULP)
    with np.errstate(invalid="ignore"):
        got = got.astype(np.float64)
        off = np.abs(got - want) / spacing
    odd = ~np.isfinite(off)
    if odd.any():
        got, want = got[odd], want[odd]
        same = np.isnan(got) & np.isnan(want)
        same |= np.isinf(got) & (np.abs(want) >= OVERFLOWS) & (np.signbit(got) == np.signbit(want))
        off[odd] = np.where(same, 0.0, np.inf)
    return off


# --------------------------------------------------------------------------------------------------
# The promise
# --------------------------------------------------------------------------------------------------


@every_dtype
@every_name
def test_three_ulp(name, dtype):
    assert_three_ulp(name, arguments(name, dtype, count=2000, each=1))


@every_name
def test_three_ulp_dense_in_float32(name):
    low, high = RANGES[name, np.float32]
    x = in_domain(name, np.linspace(low, high, 1_000_003).astype(np.float32))
    off = float32_ulps(ours(name, x), in_float64(name, x))
    assert off.max() <= ULP, (x[off.argmax()], off.max())


@pytest.mark.slow
@every_name
def test_three_ulp_many_float64(name):
    assert_three_ulp(name, arguments(name, np.float64, count=100_000, each=20))


@pytest.mark.parametrize(
    "name, lowest, highest", [("exp", -104.5, 89), ("log1p", -1, 3e38), ("erfc", -5, 10.4)]
)
def test_the_oracle_in_float64(name, lowest, highest):
    """NumPy's and SciPy's float64 functions are right to ORACLE_ERROR wherever float32 results are not 0 or inf."""
    x = arguments(name, np.float32, count=3000, each=2)
    x = x[(x > lowest) & (x < highest)]
    with mpmath.workdps(40):
        for each, result in zip(x.tolist(), in_float64(name, x).tolist(), strict=True):
            want = TRUTH[name](mpmath.mpf(each))
            assert abs(result - want) <= ORACLE_ERROR * abs(want), f"{name}({each!r}): {result!r}"


# What lies between two bit patterns, in ascending order of the arguments or of their negatives.
FLOAT32_BITS = {"from +0 to inf": (0, 0x7F80_0001), "from -0 to -inf": (0x8000_0000, 0xFF80_0001)}
BLOCK = 1 << 16  # temporaries stay in the cache


@pytest.mark.slow
@every_name
def test_every_float32(name, capsys):
    """All 2^32 bit patterns: the error, the sign, 0 where the truth underflows, NaN where it should be."""
    rising = -1 if name == "erfc" else 1
    worst, worst_at, back, back_at = 0.0, math.nan, 0.0, math.nan
    numbers = 0
    for direction, (first, end) in zip((1, -1), FLOAT32_BITS.values(), strict=True):
        last = None
        for start in range(first, end, BLOCK):
            x = np.arange(start, min(start + BLOCK, end), dtype=np.uint32).view(np.float32)
            got, want = ours(name, x), in_float64(name, x)
            numbers += x.size

            off = float32_ulps(got, want)
            most = off.argmax()
            assert off[most] <= ULP, f"{name}({x[most]!r}) is {got[most]!r}, {off[most]} ulp off"
            if off[most] > worst:
                worst, worst_at = off[most], x[most]

            number = ~np.isnan(want)
            wrong = (np.signbit(got) != np.signbit(want)) & number
            assert not wrong.any(), f"the sign of {name}({x[wrong][0]!r}) is wrong: {got[wrong][0]!r}"
            # 2^-150 is rounded to 0: what is less by more than 3 ulp of a normal number has to be 0.
            wrong = (np.abs(want) < 2.0**-150 * (1 - ULP * 2.0**-23)) & (got != 0)
            assert not wrong.any(), f"{name}({x[wrong][0]!r}) is {got[wrong][0]!r}, must be 0"

            # Not promised, only told: how far results go back where the function rises.
            ladder = got if last is None else np.concatenate([last, got])
            with np.errstate(invalid="ignore"):
                steps = direction * rising * np.diff(ladder.astype(np.float64))
            if (steps < 0).any():
                spacing = np.spacing(np.abs(ladder[1:])).astype(np.float64)
                most = np.nanargmin(steps / spacing)
                if -steps[most] / spacing[most] > back:
                    back, back_at = -steps[most] / spacing[most], x[most - x.size]
            last = got[-1:]

    for first in (0x7F80_0001, 0xFF80_0001):
        for start in range(first, (first & 0x8000_0000) + 0x8000_0000, BLOCK):
            end = min(start + BLOCK, (first & 0x8000_0000) + 0x8000_0000)
            x = np.arange(start, end, dtype=np.uint32).view(np.float32)
            numbers += x.size
            assert np.isnan(ours(name, x)).all()
    assert numbers == 1 << 32
    with capsys.disabled():
        print(f"\n{name}: at most {worst:.4f} ulp off, at {worst_at!r}; ", end="")
        print(f"back by {back:.0f} ulp at {back_at!r}" if back else "never back")


# --------------------------------------------------------------------------------------------------
# Special values, thresholds
# --------------------------------------------------------------------------------------------------


@every_dtype
def test_special_values(dtype):
    info = np.finfo(dtype)
    tiny, big, below = info.smallest_subnormal, info.max, np.nextafter(dtype(-1), dtype(-2))
    normal = info.smallest_normal
    cases = {
        "exp": [
            (0, 1),
            (-0.0, 1),
            (tiny, 1),
            (-tiny, 1),
            (-np.inf, 0),
            (-big, 0),
            (np.inf, np.inf),
            (big, np.inf),
            (np.nan, np.nan),
            (-np.nan, np.nan),
        ],
        "log1p": [
            (0, 0),
            (-0.0, -0.0),
            (tiny, tiny),
            (-tiny, -tiny),
            (normal, normal),
            (-normal, -normal),
            (-1, -np.inf),
            (below, np.nan),
            (-big, np.nan),
            (-np.inf, np.nan),
            (np.inf, np.inf),
            (np.nan, np.nan),
            (-np.nan, np.nan),
        ],
        "erfc": [
            (0, 1),
            (-0.0, 1),
            (tiny, 1),
            (-tiny, 1),
            (np.inf, 0),
            (big, 0),
            (-np.inf, 2),
            (-big, 2),
            (np.nan, np.nan),
            (-np.nan, np.nan),
        ],
    }
    for name, pairs in cases.items():
        x, want = np.array(pairs, dtype=dtype).T
        for length in (1, 7, 16, 40):
            argument, expected = np.resize(x, length), np.resize(want, length)
            got = ours(name, argument)
            # 0, 2, infinities and NaN exactly; around erfc(0) = 1 the promised 3 ulp.
            near_one = (expected == 1) & (name == "erfc")
            wrong = ~np.where(near_one, np.abs(got - 1) <= ULP * info.eps, got == expected)
            wrong &= ~(np.isnan(got) & np.isnan(expected))
            assert not wrong.any(), (name, argument[wrong], got[wrong])
            number = ~np.isnan(expected)
            assert (np.signbit(got) == np.signbit(expected))[number].all(), (name, argument, got)


def last_below(bound, dtype):
    """The largest number of the dtype that is at most `bound`, an mpf."""
    x = dtype(float(bound))
    while mpmath.mpf(float(x)) > bound:
        x = np.nextafter(x, dtype(-np.inf))
    while mpmath.mpf(float(np.nextafter(x, dtype(np.inf)))) <= bound:
        x = np.nextafter(x, dtype(np.inf))
    return x


@every_dtype
def test_exp_overflows_where_it_should(dtype):
    """The last finite result and the first infinite one belong to neighbours."""
    with mpmath.workdps(60):
        last = last_below(mpmath.log(rounds_to_inf(dtype)), dtype)
    x = np.array([last, np.nextafter(last, dtype(np.inf))])
    got = ours("exp", x)
    assert np.isfinite(got[0])
    assert got[1] == np.inf
    assert_three_ulp("exp", x)


@every_dtype
@pytest.mark.parametrize("name", ["exp", "erfc"])
def test_underflow_is_gradual_and_then_zero(name, dtype):
    """Below half the smallest subnormal, by a few ulp of a normal number, results are 0; above it they are not."""
    info = np.finfo(dtype)
    tiny = mpmath.mpf(float(info.smallest_subnormal))
    with mpmath.workdps(60):
        slack = ULP * float(info.eps)
        if name == "exp":
            ends = [mpmath.log(tiny / 2 * (1 + s)) for s in (-slack, slack)]
        else:
            start = {np.float32: 10.05, np.float64: 27.2}[dtype]
            ends = [
                mpmath.findroot(
                    lambda x, s=s: mpmath.log(mpmath.erfc(x)) - mpmath.log(tiny / 2 * (1 + s)), start
                )
                for s in (-slack, slack)
            ]
    rises = 1 if name == "exp" else -1
    steps = np.arange(40)
    outside = dtype(float(ends[0])) - rises * steps.astype(dtype) * np.spacing(dtype(abs(float(ends[0]))))
    inside = dtype(float(ends[1])) + rises * steps.astype(dtype) * np.spacing(dtype(abs(float(ends[1]))))
    assert (ours(name, outside[1:]) == 0).all()
    assert (ours(name, inside[1:]) == info.smallest_subnormal).all()


@every_dtype
@every_name
def test_nan_and_position(name, dtype):
    """A NaN stays where it is, and a number's result does not depend on its neighbours or its place."""
    low, high = RANGES[name, dtype]
    x = np.random.default_rng(1).uniform(low, high, 70).astype(dtype)
    alone = np.concatenate([ours(name, x[i : i + 1]) for i in range(70)])
    for n in range(71):
        np.testing.assert_array_equal(ours(name, x[:n]), alone[:n])
    for position in range(70):
        poisoned = x.copy()
        poisoned[position] = np.nan
        got = ours(name, poisoned)
        assert np.isnan(got[position])
        np.testing.assert_array_equal(np.delete(got, position), np.delete(alone, position))


_DIGEST = """
import hashlib
import numpy as np
from conftest import bits
from test_elementary import NAMES, arguments, ours

digest = hashlib.sha256()
every = np.arange(0, 2**32, 4099).astype(np.uint32).view(np.float32)  # of all float32 numbers, NaN among them
for name in NAMES:
    digest.update(bits(ours(name, every)))
    for dtype in (np.float32, np.float64):
        digest.update(bits(ours(name, arguments(name, dtype, 50_000, each=5))))
print(digest.hexdigest())
"""


@pytest.mark.skipif(len(LEVELS) < 2, reason="this machine supports one level only")
def test_same_bits_at_every_level():
    digests = {level: run_at_level(level, _DIGEST) for level in LEVELS}
    assert len(set(digests.values())) == 1, digests
    assert len(digests[LEVELS[0]].strip()) == 2 * hashlib.sha256().digest_size

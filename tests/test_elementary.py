"""exp, log1p and erfc are our own: within 3 ulp of the truth, with the same bits in every lane and level.

The losses call exp for arguments <= 0, log1p within [0, 1] and erfc on the whole line: the promise is tested
there.
"""

import hashlib
import math

import mpmath
import numpy as np
import pytest
import reference
from conftest import LEVELS, every_dtype, run_at_level
from scipy import special

import hingefast._kernels.loops as loops

ULP = 3.0
NAMES = ("exp", "log1p", "erfc")
every_name = pytest.mark.parametrize("name", NAMES)

# Where results leave the normal numbers: exp(x) and erfc(x) become subnormal and then 0.
RANGES = {
    ("exp", np.float32): (-104.5, 0.0),
    ("exp", np.float64): (-746.0, 0.0),
    ("log1p", np.float32): (0.0, 1.0),
    ("log1p", np.float64): (0.0, 1.0),
    ("erfc", np.float32): (-5.0, 10.2),
    ("erfc", np.float64): (-7.0, 27.3),
}
TRUTH = {"exp": mpmath.exp, "log1p": mpmath.log1p, "erfc": mpmath.erfc}
IN_FLOAT64 = {"exp": np.exp, "log1p": np.log1p, "erfc": special.erfc}


def ours(name, x):
    x = np.ascontiguousarray(x)
    result = loops.elementary(name, x)
    assert result.dtype == x.dtype
    assert result.shape == x.shape
    return result


def arguments(name, dtype, count):
    """Even over the range, dense towards 0 (down to subnormals), and on both sides of likely breakpoints."""
    low, high = RANGES[name, dtype]
    rng = np.random.default_rng(count)
    tiny = 10.0 ** rng.uniform(math.log10(float(np.finfo(dtype).smallest_subnormal)), 0, count // 4)
    breaks = np.concatenate([np.arange(math.ceil(low), math.floor(high) + 1), np.arange(1, 64) / 64 * high])
    breaks = np.concatenate([breaks, np.arange(-40, 40) * math.log(2) / 2, np.sqrt(2) * np.arange(1, 12) / 4])
    breaks = breaks.astype(dtype)
    x = np.concatenate(
        [
            rng.uniform(low, high, count).astype(dtype),
            np.copysign(tiny, high if high > 0 else low).astype(dtype),
            *(np.nextafter(breaks, dtype(side)) for side in (-np.inf, np.inf)),
            breaks,
        ]
    )
    return x[(x >= low) & (x <= high)]


@every_dtype
@every_name
def test_three_ulp(name, dtype):
    x = arguments(name, dtype, 2000)
    got = ours(name, x)
    with mpmath.workdps(40):
        for each, result in zip(x.tolist(), got.tolist(), strict=True):
            far = reference.ulps_apart(result, TRUTH[name](mpmath.mpf(each)), dtype)
            assert far <= ULP, f"{name}({each!r}) is {result!r}, {far} ulp off"


def float32_ulps(name, x):
    """Errors in ulp against float64, whose own error of an ulp or two is 2^-28 of a float32's."""
    got = ours(name, x).astype(np.float64)
    want = IN_FLOAT64[name](x.astype(np.float64))
    info = np.finfo(np.float32)
    spacing = np.ldexp(1.0, np.maximum(np.frexp(np.abs(want))[1] - 1, info.minexp) - info.nmant)
    return np.abs(got - want) / spacing


@every_name
def test_three_ulp_dense_in_float32(name):
    low, high = RANGES[name, np.float32]
    x = np.linspace(low, high, 1_000_003).astype(np.float32)
    worst = float32_ulps(name, x)
    assert worst.max() <= ULP, (x[worst.argmax()], worst.max())


@pytest.mark.slow
@every_name
def test_three_ulp_on_float32_numbers_of_every_exponent(name):
    """Every 97th number of the range: of each exponent 86480 mantissas, all last digits among them."""
    low, high = RANGES[name, np.float32]
    for end in (low, high):
        last = int(np.array(abs(end), dtype=np.float32).view(np.uint32))
        for start in range(0, last + 1, 97 << 20):
            x = np.arange(start, min(start + (97 << 20), last + 1), 97, dtype=np.uint32).view(np.float32)
            worst = float32_ulps(name, np.copysign(x, np.float32(end)))
            assert worst.max() <= ULP, (x[worst.argmax()], worst.max())


@pytest.mark.slow
@every_name
def test_three_ulp_many_float64(name):
    x = arguments(name, np.float64, 100_000)
    got = ours(name, x)
    with mpmath.workdps(40):
        worst = max(
            reference.ulps_apart(result, TRUTH[name](mpmath.mpf(each)), np.float64)
            for each, result in zip(x.tolist(), got.tolist(), strict=True)
        )
    assert worst <= ULP


@every_dtype
def test_special_values(dtype):
    tiny, big = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    cases = {
        "exp": [(0, 1), (-0.0, 1), (-np.inf, 0), (-big, 0), (tiny, 1), (-tiny, 1), (np.nan, np.nan)],
        "log1p": [(0, 0), (tiny, tiny), (np.nan, np.nan)],
        "erfc": [
            (0, 1),
            (-0.0, 1),
            (np.inf, 0),
            (-np.inf, 2),
            (big, 0),
            (-big, 2),
            (tiny, 1),
            (-tiny, 1),
            (np.nan, np.nan),
        ],
    }
    for name, pairs in cases.items():
        x, want = np.array(pairs, dtype=dtype).T
        for length in (1, 7, 16, 40):
            got = ours(name, np.resize(x, length))
            # 0, 2, infinities and NaN exactly; around erfc(0) = 1 the promised 3 ulp.
            allowed = np.where(np.resize(want, length) == 1, 3 * np.finfo(dtype).eps, 0) * (name == "erfc")
            wrong = np.abs(got - np.resize(want, length)) > allowed
            assert not wrong.any(), (name, np.resize(x, length)[wrong], got[wrong])
            np.testing.assert_array_equal(np.isnan(got), np.isnan(np.resize(want, length)))
            assert not np.signbit(got[~np.isnan(got)]).any()


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
from test_elementary import NAMES, arguments, ours

digest = hashlib.sha256()
for dtype in (np.float32, np.float64):
    for name in NAMES:
        digest.update(ours(name, arguments(name, dtype, 50_000)).tobytes())
print(digest.hexdigest())
"""


@pytest.mark.skipif(len(LEVELS) < 2, reason="this machine supports one level only")
def test_same_bits_at_every_level():
    digests = {level: run_at_level(level, _DIGEST) for level in LEVELS}
    assert len(set(digests.values())) == 1, digests
    assert len(digests[LEVELS[0]].strip()) == 2 * hashlib.sha256().digest_size

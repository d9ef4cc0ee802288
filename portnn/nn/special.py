"""Functions that the array API standard lacks, in terms of its operations."""

from portnn.types import Array, Namespace

# log(erfc(x) exp(x²) / t) for t = 1 / (1 + x / 2) as a polynomial in s = 2 t - 1, which runs over (-1, 1]: its
# Chebyshev series (the form is that of Numerical Recipes, 3rd ed., section 6.2.2), computed with 60 digits, cut where
# float32 or float64 ends and put in powers of s. Absolute error: 3 eps.
_SHORT = (
    -0.6717940851517215,
    0.672643154774543,
    0.0473434175210675,
    -0.04689364055996262,
    -0.009874534918291376,
    0.008808825369385993,
    0.001770666118629671,
    -0.002288765238593006,
    -0.00018278214171601266,
    0.0005737663720050471,
    -3.2113772312125475e-05,
    -8.728381021688478e-05,
    1.3371503491274448e-05,
)
_LONG = (
    -0.6717940840566923,
    0.6726432239776567,
    0.04734330684190443,
    -0.0468956102311753,
    -0.009872689366389959,
    0.008824938557060623,
    0.001758933557799016,
    -0.002345812500482853,
    -0.00014624686337800336,
    0.000673678795580235,
    -9.37350311709817e-05,
    -0.0001743029472030762,
    7.14010141275703e-05,
    3.17451797494374e-05,
    -3.0187884551394243e-05,
    1.3772664134464417e-07,
    8.562623420121286e-06,
    -2.947986876998259e-06,
    -1.27231190486887e-06,
    1.2500276612569754e-06,
    -1.6849800720653297e-07,
    -2.495832761719667e-07,
    1.5334345920908177e-07,
    1.4448658046252676e-09,
    -3.9171820510271855e-08,
    1.1172352263623759e-08,
    4.06088214696972e-09,
    -1.8902306008944537e-09,
)


def erfc(xp: Namespace, x: Array) -> Array:
    """Return the complementary error function of x >= 0, 2 / sqrt(pi) times the integral of exp(-u²) from x."""
    first, *rest = reversed(_SHORT if x.dtype == xp.float32 else _LONG)
    t = 1.0 / (1.0 + 0.5 * x)
    s = 2.0 * t - 1.0
    value = s * first + rest[0]
    for coefficient in rest[1:]:
        value = value * s + coefficient
    return t * xp.exp(value - x * x)

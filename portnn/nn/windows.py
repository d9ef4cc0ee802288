"""Windows of images: what a kernel covers at each place, and the way back.

Images are (batch, channels, height, width). Everything is slices, concatenations and additions of the array API. A
stride s is a reshape: rows of pixels become groups of s, so that each slice takes every s-th pixel.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cache, reduce
from math import inf
from operator import add
from typing import NamedTuple

from portnn.errors import ArgumentError, ShapeError
from portnn.options import check_positive_int
from portnn.types import Array, ForwardContext, Namespace

_log = logging.getLogger("portnn")

Pair = tuple[int, int]
Sizes = int | Sequence[int]
"""One number for the height and the width, or one for each."""


class Axis(NamedTuple):
    """A kernel's places along one axis of an image."""

    size: int
    """Pixels of the image."""
    kernel: int
    stride: int
    dilation: int
    before: int
    """Pixels of padding before the first."""
    after: int
    """Pixels of padding after the last; with them there are whole groups of ``stride`` pixels."""
    places: int
    """Number of windows."""

    @property
    def groups(self) -> int:
        """Groups of ``stride`` pixels of the padded image."""
        return (self.before + self.size + self.after) // self.stride

    def offsets(self) -> list[Pair]:
        """Return (group, pixel in the group) of each of the kernel's places in the first window."""
        return [divmod(i * self.dilation, self.stride) for i in range(self.kernel)]


def axes_of(
    layer: str, features: tuple[int, ...], kernel: Sizes, stride: Sizes, padding: str | Sizes, dilation: Sizes = 1
) -> tuple[Axis, Axis]:
    """Return the places of a kernel along the height and the width of images. Raises ShapeError, with the axis."""
    sizes = zip(
        check_pair("kernel", kernel), check_pair("stride", stride), check_pair("dilation", dilation), strict=True
    )
    paddings = padding if isinstance(padding, tuple | list) else (padding, padding)
    height, width = (
        axis_of(f"{layer}, {name}", pixels, kernel, stride, zeros, dilation)
        for name, pixels, (kernel, stride, dilation), zeros in zip(
            ("height", "width"), features[1:], sizes, paddings, strict=True
        )
    )
    return height, width


def axis_of(name: str, size: int, kernel: int, stride: int, padding: str | int, dilation: int = 1) -> Axis:
    """Return the places of a kernel: padding "valid", "same" (places: size / stride, rounded up) or a number.

    Raises ShapeError for a kernel that is longer than the padded axis, which ``name`` names.
    """
    extent = dilation * (kernel - 1) + 1
    if padding == "same":
        lacking = max((-(-size // stride) - 1) * stride + extent - size, 0)
        before, after = lacking // 2, lacking - lacking // 2
    else:
        before = after = 0 if padding == "valid" else int(padding)
    length = before + size + after
    if length < extent:
        raise ShapeError(f"{name}: expected at least {extent} pixels for the kernel; got {length}")
    return Axis(size, kernel, stride, dilation, before, after + -length % stride, (length - extent) // stride + 1)


def check_images(layer: str, features: tuple[int, ...]) -> None:
    """Raise ShapeError unless rows are images; warn of those that look as if the channels came last."""
    if len(features) != 3:
        raise ShapeError(f"{layer}: expected images, (batch, channels, height, width); got (batch, {features})")
    if features[0] == features[1] > 4 and features[2] in (1, 3, 4):
        _warn_of_channels_last(layer, features)


@cache
def _warn_of_channels_last(layer: str, features: tuple[int, ...]) -> None:
    channels, height, width = features
    _log.warning(
        "%s: takes %s as %d channels of %d x %d pixels; if the channels come last, transpose the images: "
        "x.transpose(0, 3, 1, 2)",
        layer, features, channels, height, width,
    )  # fmt: skip


def check_pair(argument: str, value: Sizes) -> Pair:
    """Return (height, width) of a positive integer or of two. Raises ArgumentError."""
    pair = (value, value) if not isinstance(value, tuple | list) else tuple(value)
    if len(pair) != 2:
        raise ArgumentError(
            f"{argument}: expected a number, or one for the height and one for the width; got {value!r}"
        )
    return check_positive_int(argument, pair[0]), check_positive_int(argument, pair[1])


def as_tuples(layer: object, *names: str) -> None:
    """Turn options that are lists into tuples, which a layer's file gives back."""
    for name in names:
        if isinstance(value := getattr(layer, name), list):
            object.__setattr__(layer, name, tuple(value))


def check_padding(padding: object, numbers: bool = True) -> None:
    """Raise ArgumentError unless a padding is "same", "valid" or, where ``numbers`` may be, one or two numbers."""
    pair = padding if isinstance(padding, tuple | list) and len(padding) == 2 else (padding,)
    counts = numbers and all(type(zeros) is int and zeros >= 0 for zeros in pair)
    if padding not in ("same", "valid") and not counts:
        others = " or a number of zeros" if numbers else ""
        raise ArgumentError(f'padding: expected "same", "valid"{others}; got {padding!r}')


TILE = 1 << 19
"""Elements of the windows that are computed at once: they stay in a cache, and are not kept."""
MOST_TILES = 16
"""Each tile is operations of its own, which are recorded and compiled: of many rows more are computed at once."""


def joined(xp: Namespace, parts: Sequence[Array], axis: int) -> Array:
    """Return the concatenation of arrays; of one, itself."""
    return xp.concat(list(parts), axis=axis) if len(parts) > 1 else parts[0]


def by_tiles(
    xp: Namespace, context: ForwardContext, images: int, elements: int, function: Callable[[slice], Array]
) -> Array:
    """Return what a function gives for all images, computed a few at a time; ``elements``: of one image's windows."""
    at_once = max(TILE // elements, (images + MOST_TILES - 1) // MOST_TILES)
    starts = range(0, images, at_once) if context.tiles and images > at_once else ()
    tiles = [slice(i, min(i + at_once, images)) for i in starts] or [slice(None)]
    return joined(xp, [function(tile) for tile in tiles], 0)


def blank(xp: Namespace, x: Array, value: float = 0.0) -> Array:
    """Return an array like another one whose elements are all 0, or another value; rows of a batch stay rows."""
    zeros = xp.astype(x > inf, x.dtype)
    return zeros + value if value else zeros


def blank_along(xp: Namespace, x: Array, axis: int, width: int, value: float = 0.0) -> Array:
    """Return so many constants along an axis of an array, or as many as it is long."""
    return blank(xp, x[(*(slice(None),) * axis, slice(0, min(width, x.shape[axis])), ...)], value)


def pad(xp: Namespace, x: Array, axis: int, before: int, after: int, blanks: Array) -> Array:
    """Return an array with so many of the ``blanks`` before and after it along an axis."""
    width = blanks.shape[axis]
    parts: tuple[list[Array], list[Array]] = [], []
    for part, n in zip(parts, (before, after), strict=True):
        part += [blanks] * (n // width)
        part += [blanks[(*(slice(None),) * axis, slice(0, n % width), ...)]] if n % width else []
    return xp.concat([*parts[0], x, *parts[1]], axis=axis) if before + after else x


def pad_images(xp: Namespace, x: Array, rows: Pair, columns: Pair, value: float = 0.0) -> Array:
    """Return images with constants around them: (above, below), (left, right)."""
    for axis, ends in ((2, rows), (3, columns)):
        x = pad(xp, x, axis, *ends, blank_along(xp, x, axis, max(ends), value)) if max(ends) else x
    return x


def windows(xp: Namespace, x: Array, rows: Axis, columns: Axis, value: float = 0.0) -> list[Array]:
    """Return the pixels under each of the kernel's places, row by row; each (batch, channels, 1, rows, 1, columns, 1).

    ``value``: that of the padding.
    """
    x = pad_images(xp, x, (rows.before, rows.after), (columns.before, columns.after), value)
    x = xp.reshape(x, (*x.shape[:2], 1, rows.groups, rows.stride, columns.groups, columns.stride))
    down = [(slice(i, i + rows.places), slice(r, r + 1)) for i, r in rows.offsets()]
    across = [(slice(j, j + columns.places), slice(q, q + 1)) for j, q in columns.offsets()]
    return [x[(*(slice(None),) * 3, *pair, *other)] for pair in down for other in across]


def unfold(xp: Namespace, x: Array, rows: Axis, columns: Axis) -> Array:
    """Return the pixels of each window as a column: (batch, channels kernel, places)."""
    size = x.shape[1] * rows.kernel * columns.kernel
    seen = xp.concat(windows(xp, x, rows, columns), axis=2)
    return xp.reshape(seen, (x.shape[0], size, rows.places * columns.places))


def fold(xp: Namespace, parts: Sequence[Array], rows: Axis, columns: Axis) -> Array:
    """Return images in which each pixel is the sum of what the windows that cover it have there.

    The transpose of ``windows``: ``parts`` has an array for each of the kernel's places.
    """
    n = columns.kernel
    lines = [_spread(xp, parts[i : i + n], columns, 5) for i in range(0, len(parts), n)]
    x = _spread(xp, lines, rows, 3)
    x = xp.reshape(x, (*x.shape[:2], rows.groups * rows.stride, columns.groups * columns.stride))
    return x[:, :, rows.before : rows.before + rows.size, columns.before : columns.before + columns.size]


def _spread(xp: Namespace, parts: Sequence[Array], axis: Axis, at: int) -> Array:
    """Return the sum of arrays that are moved apart along an axis of windows, and interleaved along the next one."""
    by_group: dict[int, dict[int, Array]] = {}
    for part, (group, pixel) in zip(parts, axis.offsets(), strict=True):
        by_group.setdefault(group, {})[pixel] = part
    moved, blanks, beyond = [], None, axis.groups - axis.places
    for group, pixels in by_group.items():
        together = [pixels[i] if i in pixels else blank(xp, parts[0]) for i in range(axis.stride)]
        part = joined(xp, together, at + 1)
        blanks = blank_along(xp, part, at, beyond) if blanks is None and beyond else blanks
        moved.append(pad(xp, part, at, group, beyond - group, blanks) if beyond else part)
    return reduce(add, moved)

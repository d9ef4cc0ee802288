"""Pictures, drawn with matplotlib (the extra ``plot``).

Each function draws into ``ax`` or a new figure, and returns the Axes; a notebook then shows the figure once. With
``path`` the figure is also saved (.png, .svg, .pdf).
"""

from portnn.plot.canvas import pyplot
from portnn.plot.charts import confusion_matrix, curves, distributions, drift, panels
from portnn.plot.diagram import network
from portnn.plot.plane import decision_boundary

__all__ = [
    "confusion_matrix",
    "curves",
    "decision_boundary",
    "distributions",
    "drift",
    "network",
    "panels",
    "pyplot",
]

"""Pictures, drawn with matplotlib where it is installed (the extra ``plot``).

Each function draws into ``ax``, or into a figure of its own, and returns the Axes; a notebook then shows the figure
once. With ``path`` it is saved there too (.png, .svg, .pdf).
"""

from portnn.plot.canvas import pyplot
from portnn.plot.charts import confusion_matrix, curves, distributions, drift
from portnn.plot.diagram import network
from portnn.plot.plane import decision_boundary

__all__ = ["confusion_matrix", "curves", "decision_boundary", "distributions", "drift", "network", "pyplot"]

"""Made-up invoice lines of the same shape, and with the same oddities, as an online shop's real export.

`python -m deploy.sample --help` lists the options; the same options always make the same bytes.
"""

from deploy.sample.shop import SampleError, catalogue, generate_lines
from deploy.sample.writing import SampleStyle, write_sample

__all__ = ["SampleError", "SampleStyle", "catalogue", "generate_lines", "write_sample"]

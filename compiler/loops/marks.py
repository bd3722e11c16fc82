"""Every mark that a kernel leaves for the rule that schedules it, and a rule for the rewriting of its loops.

A mark is an annotation of a block or a loop, or an attribute of a function; each names its value.
"""

from __future__ import annotations

# Attributes of functions.
SCHEDULED = "tirx.is_scheduled"  # its loops are as they are to stay
CONCAT = "dyno.concat"  # the function concatenates its arguments on this axis, and does nothing else

# Annotations of blocks.
FLOPS = "dyno.flops"  # the operator's useful operations, an integer
TILE = "dyno.tile"  # [rows, columns] of the register tile
# The last thing read is packed weights, a panel a column tile. Its value is the number of column tiles that
# share a walk over all rows; 0 goes by the size of the cache.
PACKED = "dyno.packed"
# Padded with zeros; [steps, gaps, paddings before, sizes of the image], each (vertical, horizontal), then the
# pixels in a line of the output.
PADDED = "dyno.padded"
WINOGRAD = "dyno.winograd"  # of the product: [m, rows, columns, band]
# [groups, shuffle, rows, step_h, step_w, top, left, gap_h, gap_w, vectors, unroll]; groups 0 is
# depthwise, the last two are of its tile.
WALK = "dyno.walk"
POOL = "dyno.pool"  # of the stage that walks over the window
ROW = "dyno.row"  # [leading axes that name the row, elements in a row]

# Annotations of loops.
BORDERS = "dyno.borders"  # on the loop around a tile: [rows of the tile, then those of PADDED]
TAPS = "dyno.taps"  # on the loop over a filter's columns
ROWS = "dyno.rows"  # on the loop over a tile's rows
OVERLAP = "dyno.overlap"  # on the loop around a tile: [rows of the tile, rows walked, ragged columns or 0]
WEIGHTS = "dyno.prefetch_weights"  # on the loop around STEPS reduction steps; for its value see fetch_weights
SPREAD = "dyno.spread"  # on a loop around so many reduction steps
TILE_START = "dyno.prefetch_tile"  # on the loop around a tile; for its value see fetch_tile
STEPS = 8  # reduction steps between two prefetches of weights

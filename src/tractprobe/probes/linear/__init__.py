"""Heads in closed form, from first and second moments of groups of frames.

Moments are n, Σx, Σxxᵀ, Σxyᵀ, Σy and Σy² of some frames' inputs x and targets y. Those of a group are added up once
(``accumulate``, ``group_moments``), read from disk (``moment_store``), combined as a split says (``selection``) and
solved (``solver``, ``fit``).

Names of shapes::

    frame, channel    moments in time, and targets
    width             features of an input
    half              width (width + 1) / 2: an upper triangle, row by row
    group             utterances of one speaker and language on the same side of every split
    row               frames of a group: all of them, or those that one of its sensors lacks
    set               moments that a head is fitted to, as a weighted sum of rows
    alpha             candidate penalties
    *some             any number of leading axes
"""

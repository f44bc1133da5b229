"""Arithmetic on arrays of any framework, and checks of the arrays that a backend returns.

operations.py   the functions of NumPy that the arithmetic needs; a backend supplies those that its framework lacks
layers.py       the computations of layers: padding, windows, pooling, batch norm
losses.py       the loss of each picture
updates.py      the update rules of the optimisers
returned.py     checks of the arrays that a backend returns

A backend may use layers, losses and updates from here, or those of its framework. The reference uses none of them, so a
mistake here shows as a deviation from the reference.
"""

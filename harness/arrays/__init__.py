"""Arithmetic on arrays of any framework, and checks of the arrays that a backend returns.

operations.py   the functions of NumPy that the arithmetic needs; each framework has them or supplies them
layers.py       what layers compute: padding, windows, pools, batch norm
losses.py       the loss of each picture
updates.py      how an optimiser moves a tensor
returned.py     checks of what a backend returns

A backend may use layers, losses and updates, or its framework's own. The reference does not use them, so that a fault in
one of them shows as a deviation from the reference.
"""

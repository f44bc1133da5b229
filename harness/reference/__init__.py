"""The reference: every layer, loss and optimiser in plain NumPy and float64. It defines the right results.

layers.py      forward and backward of each layer
losses.py      the two losses
optimizers.py  SGD, Adam and AdamW, with weight decay and L1
backend.py     the reference as a backend, "numpy"
"""
